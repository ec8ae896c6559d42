# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Follow what an arm was commanded through a recording, and say what it was at any time.

A command holds until the next one; a velocity lapses, as the driver lets it. Knows no images, and
not who commanded.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import JOINTS
from vla_cache_ros.bags.topics import POSE
from vla_cache_ros.control.messages import twist_vector
from vla_cache_ros.control.sensing.states import position_and_axis_angle

TWIST = 'geometry_msgs/msg/TwistStamped'
NUMBERS = 'std_msgs/msg/Float64MultiArray'
TRAJECTORY = 'trajectory_msgs/msg/JointTrajectory'
# The node's own, and what it sends to the gripper
ARM_TOPICS = ('/delta_twist_cmds', '/target_pose', '/joint_position_commands', '/joint_trajectory')
GRIPPER_TOPIC = '/gripper/commands'
GRIPPER = 'gripper'
LARGEST = 1e30  # beyond it a number is none as float32

Named = tuple[tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """
    Say how commands of a message type are read.

    read: message -> names, values. units: of every value, or one for all. stamped: whether its
    header says when it holds from. lapses: whether zeros follow where it is not renewed.
    """

    read: Callable[[Any], Named]
    units: tuple[str, ...]
    stamped: bool = False
    lapses: bool = False


def _twist(message: Any) -> Named:  # noqa: ANN401
    axes = 'x', 'y', 'z'
    names = (*(f'linear_{axis}' for axis in axes), *(f'angular_{axis}' for axis in axes))
    return names, twist_vector(message)


def _pose(message: Any) -> Named:  # noqa: ANN401
    return ('x', 'y', 'z', 'rx', 'ry', 'rz'), position_and_axis_angle(message)


def _numbers(message: Any) -> Named:  # noqa: ANN401
    values = np.asarray(message.data, float)
    return tuple(f'joint_{index + 1}' for index in range(len(values))), values


def _joints(message: Any) -> Named:  # noqa: ANN401
    return tuple(message.name), np.asarray(message.position, float)


def _trajectory(message: Any) -> Named:  # noqa: ANN401
    positions = message.points[0].positions if len(message.points) else []
    return tuple(message.joint_names), np.asarray(positions, float)


KINDS: Mapping[str, Kind] = {
    TWIST: Kind(_twist, ('m/s',) * 3 + ('rad/s',) * 3, stamped=True, lapses=True),
    POSE: Kind(_pose, ('m',) * 3 + ('rad',) * 3, stamped=True),
    NUMBERS: Kind(_numbers, ('rad',)),
    JOINTS: Kind(_joints, ('rad',), stamped=True),
    TRAJECTORY: Kind(_trajectory, ('rad',)),
}


@dataclass(frozen=True)
class Commands:
    """
    Say where in a recording commands are; an empty topic stands for none.

    arm: '' in `found` is the first of ARM_TOPICS that was recorded. joints: names of what a
    Float64MultiArray holds, which does not say them. timeout: s, for which a velocity holds.
    """

    arm: str = ''
    gripper: str = GRIPPER_TOPIC
    joints: tuple[str, ...] = ()
    timeout: float = 0.25

    def found(self, bag: Bag) -> 'Found':
        """
        Return what a bag has of it.

        Raises ValueError if there is no command of the arm, listing what there is.
        """
        recorded = [name for name in ARM_TOPICS if bag.counts.get(name)]
        arm = self.arm or (recorded[0] if recorded else '')
        kind = bag.topics.get(arm)
        first = next(bag.messages({arm}), None) if kind in KINDS else None
        if first is None:
            there = ', '.join(f'{name} ({kind})' for name, kind in sorted(bag.topics.items()))
            raise ValueError(
                f'{bag.path}: expected commands of the arm on '
                f'{self.arm or " or ".join(ARM_TOPICS)} ({", ".join(sorted(KINDS))}; '
                f'--action-topic), there are {there}'
            )
        names, values = _readable(KINDS[kind], first.message, arm)
        if kind == NUMBERS and len(self.joints) == len(names):
            names = self.joints
        units = KINDS[kind].units
        units = units * len(names) if len(units) == 1 else units
        gripper = self.gripper if bag.counts.get(self.gripper) else ''
        if gripper and bag.topics[gripper] != NUMBERS:
            raise ValueError(
                f'{bag.path}: expected {gripper} of {NUMBERS}, got {bag.topics[gripper]} '
                '(--gripper-topic)'
            )
        if gripper:
            names, units = (*names, GRIPPER), (*units, 'as the driver takes it')
        return Found(arm, kind, gripper, names, units, self.timeout)


@dataclass(frozen=True)
class Found:
    """The commands of one bag: topics, and names and units of an action's numbers."""

    arm: str
    kind: str
    gripper: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    timeout: float

    @property
    def topics(self) -> set[str]:
        """Return the topics that are listened to."""
        return {self.arm, *filter(None, [self.gripper])}

    @property
    def stamped(self) -> set[str]:
        """Return those whose messages say from when on they hold."""
        return {self.arm} if KINDS[self.kind].stamped else set()


class Held:
    """The newest command."""

    def __init__(self, found: Found, notes: Counter[str]):
        """Begin without any; notes: takes what could not be used, and how often."""
        self._found, self._kind, self._notes = found, KINDS[found.kind], notes
        self._names: tuple[str, ...] | None = None
        self._arm: np.ndarray | None = None
        self._gripper: float | None = None
        self._time = 0  # ns, of the arm's

    def take(self, topic: str, message: Any, when: int) -> None:  # noqa: ANN401
        """Keep a command that holds from a time (ns) on, if it is usable."""
        count = len(self._found.names) - bool(self._found.gripper)
        try:
            if topic == self._found.gripper:
                names, values = _readable(KINDS[NUMBERS], message, topic)
                self._gripper = float(values[0])
                return
            names, values = _readable(self._kind, message, topic)
            self._names = self._names or names
            if names != self._names or len(values) != count:
                raise ValueError(f'{topic}: a command of other joints or another size')
        except ValueError as error:
            self._notes[f'{error}; it is left out'] += 1
            return
        self._arm, self._time = values, when

    def silent(self, now: int) -> float:
        """Return for how long nothing was commanded (s), infinite before the first command."""
        return float('inf') if self._arm is None else (now - self._time) * 1e-9

    def at(self, now: int) -> np.ndarray | None:
        """Return the action float32 [A] at now (ns), None before every part of it is known."""
        if self._arm is None or (self._found.gripper and self._gripper is None):
            return None
        lapsed = self._kind.lapses and self.silent(now) > self._found.timeout
        arm = np.zeros_like(self._arm) if lapsed else self._arm
        parts = [arm, [self._gripper]] if self._found.gripper else [arm]
        return np.concatenate(parts).astype(np.float32)


def _readable(kind: Kind, message: Any, topic: str) -> Named:  # noqa: ANN401
    """Return names and values; raises ValueError where they are none, or not finite."""
    names, values = kind.read(message)
    if not len(values) or len(names) != len(values) or not np.all(np.abs(values) < LARGEST):
        raise ValueError(f'{topic}: a command that is no finite numbers with a name each')
    return names, values
