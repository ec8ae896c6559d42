# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Give the arm to a person at any moment, and back to the policy, which goes on watching meanwhile.

Holds the person's newest twist and says what stops it: an emergency stop does, a dark camera does
not, since a person sees with other eyes. Knows neither ROS nor how a twist is bounded and sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.motion.limits import limit_norm
from vla_cache_ros.control.safety import lateness
from vla_cache_ros.control.sensing.robot import POSE
from vla_cache_ros.control.sensing.robot import TF
from vla_cache_ros.control.vla_parameters import VLAParameters

if TYPE_CHECKING:
    from vla_cache_ros.control.controller import Controller

POLICY, PERSON = 'policy', 'person'
TOPIC, SERVICE, TIMEOUT = 'teleop_twist_cmds', 'take_over', 'takeover_timeout'  # who asked
# Stops of a person's twists, during which the policy goes on watching.
TELEOP = {'bad_teleop', 'unstamped_teleop', 'future_stamp_teleop', 'stale_teleop'}
# Whatever else stops the arm concerns the policy alone.
PERSONS = TELEOP | {'emergency_stop', 'paused', 'clock_stalled', 'duplicate_node'}

_NO_TWISTS = (
    'bad_teleop',
    (
        f'{TOPIC}: expected an output that twists can move (twist or pose), got one of joints; '
        f'drive them by other means, and give the arm back by the service {SERVICE}'
    ),
)


class Takeover:
    """
    Say who has the arm.

    who: POLICY or PERSON; by: what gave it to them; since: ns. twist: the person's newest [6], m/s
    and rad/s; None before one that moves.
    """

    def __init__(self, controller: Controller, surroundings: Surroundings):
        """Begin with the policy; the controller is told of every change."""
        self.who, self.by, self.since = POLICY, 'configure', surroundings.now()
        self.twist: np.ndarray | None = None
        self._stamp = self._moved = 0  # ns, of the newest twist and of the last one that moves
        self._fault: tuple[str, str] | None = None  # of the newest message: cause, text
        self._controller, self._world = controller, surroundings

    @property
    def person(self) -> bool:
        """Say whether a person has the arm."""
        return self.who == PERSON

    @property
    def silent(self) -> bool:
        """Say whether a person drives by other means, which nothing may disturb."""
        return self.person and self.twist is None

    def mode(self) -> str:
        """Return who has the arm, by what and since when (ns) as JSON text."""
        return json.dumps({'control': self.who, 'by': self.by, 'stamp': self.since})

    def give(self, person: bool, by: str) -> None:
        """
        Give the arm to a person, or back to the policy, whose cache and inputs have to be new.

        by: TOPIC, SERVICE or TIMEOUT.
        """
        if person == self.person:
            self.by = by if person else self.by  # what the service took only it gives back
            return
        if by != TOPIC:  # a twist is followed at once, from the velocity that the arm has
            self._controller.halt()
        self.who, self.by, self.since = PERSON if person else POLICY, by, self._world.now()
        self._world.warn(f'control: the {self.who} has the arm ({by})')
        if not person:
            self.twist = self._fault = None
            self._controller.forget('handed_back')
        self._controller.halt()

    def hear(self, twist: np.ndarray, stamp: int, frame: str) -> None:
        """
        Take a person's twist [6] of a stamp (ns); one that moves takes the arm over.

        Zeros do not, since a device at rest sends them; a message that cannot be used is warned of
        once, and a stop where the person has the arm already.
        """
        controller, now = self._controller, self._world.now()
        if not controller.active:
            return
        before, self._fault = self._fault, _fault(twist, stamp, frame, now, controller.parameters)
        if self._fault:
            if not (self.person or before):
                self._world.warn(f'{self._fault[0]}: {self._fault[1]}')
            return
        if _moves(twist, controller.parameters):
            self._moved = now
        elif self.twist is None:
            return
        self.twist, self._stamp = twist, stamp
        if not self.person:
            self.give(True, TOPIC)
            controller.tick()
            self._world.renew()

    def problems(self, now: int, timeout: float) -> dict[tuple[str, str], str]:
        """Return (cause, source) -> message of what forbids to follow the twist at now (ns)."""
        if not self.person or self.twist is None:
            return {}
        fault = self._fault or _late(self._stamp, now, timeout)
        if self._controller.parameters.joint_output:
            fault = _NO_TWISTS
        return {(fault[0], TOPIC): fault[1]} if fault else {}

    def stands_still(self) -> bool:
        """Say whether there is a reason for whoever has the arm to stand still."""
        causes, parameters = self._controller.causes, self._controller.parameters
        if not self.person:
            return bool(causes)
        # without it nobody knows where the walls are, or where a target begins
        posed = bool(parameters.workspace) or parameters.output == 'pose'
        lost = posed and (causes.names(POSE) or causes.names(TF))
        return bool(lost or causes.names() & PERSONS)

    def expire(self, timeout: float) -> None:
        """Give back what twists took, once none has moved for timeout (s); 0: never."""
        idle = (self._world.now() - self._moved) * 1e-9
        if timeout and self.person and self.by == TOPIC and idle > timeout:
            self.give(False, TIMEOUT)

    def clock_jumped(self) -> None:
        """Count the timeout anew, by the clock as it is now."""
        self._moved = self._world.now()


def _fault(
    twist: np.ndarray, stamp: int, frame: str, now: int, parameters: VLAParameters
) -> tuple[str, str] | None:
    """Return (cause, message) for a twist that must not be followed, else None."""
    if not np.isfinite(twist).all():
        return 'bad_teleop', f'{TOPIC}: expected finite numbers, got {twist.tolist()}'
    if frame not in ('', parameters.frame_id):
        return 'bad_teleop', (
            f'{TOPIC}: expected frame {parameters.frame_id} (frame_id) or none, got {frame!r}; '
            'have it published there'
        )
    return _late(stamp, now, parameters.command_timeout)


def _late(stamp: int, now: int, timeout: float) -> tuple[str, str] | None:
    late = lateness(TOPIC, stamp, now, timeout)
    return late and (f'{late[0]}_teleop', late[1])


def _moves(twist: np.ndarray, parameters: VLAParameters) -> bool:
    bands = parameters.deadband_linear_velocity, parameters.deadband_angular_velocity
    return any(
        limit_norm(part, band)[1] for part, band in zip(np.split(twist, 2), bands, strict=True)
    )
