# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Notice a camera that sends one picture again and again, newly stamped, while the arm moves.

A driver that resends its last buffer looks well by every stamp, and to a gate it is the best case:
nothing changes. Pure Python and numpy: knows neither ROS nor what a picture shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.pose_target import exponential
from vla_cache_ros.control.sensing.inputs import Frame
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.vla_parameters import VLAParameters

# What has to have moved until a picture has to differ: half a pixel of a camera that sees a metre.
DISTANCE, ANGLE = 0.002, 0.01  # m, rad
# Shares of image_timeout. How far the stamps of pictures and of motion may disagree:
SKEW = 0.25
# and how soon after its last new picture the arm has to have moved to have been moving then.
AT_ONCE = 0.5


@dataclass
class _Run:
    """A picture that came again and again, and how the arm moved meanwhile."""

    newest: Frame
    first: int  # ns, its first stamp
    place: np.ndarray | None = None  # [6], where the arm was a moment later
    moved: int = 0  # ns, when it was far from there; 0: it was not
    begun: int = 0  # ns, from when on the picture had to differ


class Stillness:
    """
    Follow the pictures of every camera and how far the arm moves under them.

    Where nothing is measured, what is commanded counts as moved. A picture that shows the arm's
    motion later than half of image_timeout may be taken for one that does not show it.
    """

    def __init__(self, period: int, joints: bool = False):
        """
        Start with neither pictures nor motion.

        period: ns of an action, which an arm may need to begin to move. joints: whether joint
        positions are measured, instead of a pose.
        """
        self._period, self._joints = period, joints
        self.reset()

    def reset(self) -> None:
        """Forget all pictures: who begins anew finds each of them new."""
        self._runs: dict[str, _Run] = {}
        self._blind = True  # whether nothing is measured
        self._commanded = np.zeros(6)  # m, rad: where the commands have led to
        self._twist = np.zeros(6)  # m/s, rad/s, held now
        self._moving, self._since = False, 0  # whether the arm is to move; ns, since when
        self._until = 0  # ns, up to when the twist is counted

    def command(self, command: Command, now: int) -> None:
        """Take a command that was sent to the arm at now (ns)."""
        self._count(now)
        self._twist = np.concatenate([command.linear, command.angular])
        moving = bool(self._twist.any() or np.any(command.rates))
        if moving and not self._moving:
            self._since = now
        self._moving = moving

    def problems(
        self, inputs: Inputs, parameters: VLAParameters, now: int
    ) -> dict[tuple[str, str], str]:
        """Return what `judge` does of the newest inputs at now (ns), unless that is off."""
        if not parameters.frozen_image:
            return {}
        measured = inputs.pose()
        if self._joints:
            measured = inputs.joint_positions(parameters.arm_joints)
        return self.judge(inputs.newest_images(), measured, now, parameters.image_timeout)

    def judge(
        self, frames: Mapping[str, Frame], measured: np.ndarray | None, now: int, timeout: float
    ) -> dict[tuple[str, str], str]:
        """
        Return (cause, topic) -> message for every camera that has stopped seeing the arm move.

        frames: the newest of each camera. measured: pose [6], xyz (m) and axis-angle (rad), or
        joint positions [n] (rad), None where neither is heard. timeout: s that a picture may
        stay the same (image_timeout).
        """
        self._count(now)
        if (measured is None) != self._blind:  # places by one and by the other are no motion
            self._blind = measured is None
            self._runs.clear()
        place = self._commanded.copy() if measured is None else measured
        found = {}
        for topic, frame in frames.items():
            run = self._runs.get(topic)
            if run is None or not _same(run.newest, frame):
                self._runs[topic] = _Run(frame, frame.stamp)
                continue
            run.newest = frame
            self._follow(run, place, now, timeout)
            if self._frozen(run, now, timeout):
                found['frozen_image', topic] = (
                    f'{topic}: expected pictures that change while the arm moves, got the same '
                    f'one for {(now - run.first) * 1e-9:.2f} s, newly stamped; restart the '
                    'camera, or set frozen_image to false if it does not see the arm'
                )
        return found

    def _count(self, now: int) -> None:
        """Lead the commanded place on to now (ns)."""
        self._commanded += self._twist * (max(now - self._until, 0) * 1e-9)
        self._until = now

    def _follow(self, run: _Run, place: np.ndarray, now: int, timeout: float) -> None:
        if run.moved or now < run.first + SKEW * timeout * 1e9:
            return
        if run.place is None:
            run.place = place
        if not self._apart(run.place, place):
            return
        run.moved = now
        at_once = now <= run.first + AT_ONCE * timeout * 1e9
        begun = self._since if self._moving else now
        moving = at_once or begun <= run.first
        run.begun = run.first if moving else begun + self._period

    def _frozen(self, run: _Run, now: int, timeout: float) -> bool:
        shown = run.newest.stamp - run.moved > SKEW * timeout * 1e9  # a picture of the time since
        return bool(run.moved) and shown and now - run.begun >= timeout * 1e9

    def _apart(self, place: np.ndarray, other: np.ndarray) -> bool:
        if self._joints:
            return bool(np.abs(place - other).max() > ANGLE)
        if np.linalg.norm(place[:3] - other[:3]) > DISTANCE:
            return True
        cosine = abs(exponential(place[3:]) @ exponential(other[3:]))  # of half the angle
        return bool(2 * np.arccos(min(cosine, 1.0)) > ANGLE)


def _same(before: Frame, now: Frame) -> bool:
    """Say whether two pictures are equal in every byte; a new one differs within the first few."""
    return before is now or before.message.data == now.message.data
