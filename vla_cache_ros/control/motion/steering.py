# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make a command of the action that is due.

Knows which limiter goes with which output, and from which measurement; nothing of their limits.
"""

from dataclasses import replace

import numpy as np
from vla_cache_ros.control.motion.gripper import Gripper
from vla_cache_ros.control.motion.joint_limits import JointLimiter
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import Limiter
from vla_cache_ros.control.motion.limits import STOP
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.rate_control import Pace
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.vla_parameters import VLAParameters


class Steering:
    """Hold the limiter between one command and the next."""

    def __init__(self, parameters: VLAParameters, inputs: Inputs, pace: Pace):
        """Start from rest."""
        self._inputs, self._pace = inputs, pace
        self._kind = JointLimiter if parameters.joint_output else Limiter
        self._limiter = self._kind()
        self._gripper = Gripper()

    def command(
        self, action: np.ndarray, parameters: VLAParameters, elapsed: float, now: int
    ) -> Command:
        """Return what is sent for a checked action at now (ns), elapsed s after the last one."""
        command = self._bounded(action, parameters, elapsed)
        if command.gripper is None:
            return command
        return replace(command, gripper=self._gripper(command.gripper, parameters, now))

    def _bounded(self, action: np.ndarray, parameters: VLAParameters, elapsed: float) -> Command:
        if parameters.joint_output:
            measured = self._inputs.joint_positions(parameters.arm_joints)
            lasts = self._pace.period * 1e-9
            return self._limiter(action, parameters, elapsed, measured, lasts)
        place = self._place(parameters)
        return self._limiter(self._pace.slowed(action), parameters, elapsed, place)

    def follow(self, twist: np.ndarray, parameters: VLAParameters, elapsed: float) -> Command:
        """
        Return what is sent for a person's twist [6], elapsed s after the last command.

        Where the output is of joints there is none.
        """
        if elapsed > parameters.command_timeout:
            self._limiter.rest()  # by its driver's timeout, the arm does
        place = self._place(parameters)
        return self._limiter.bound(twist[:3], twist[3:], None, parameters, elapsed, place)

    def _place(self, parameters: VLAParameters) -> np.ndarray | None:
        pose = self._inputs.pose() if parameters.workspace else None
        return None if pose is None else pose[:3]

    def sent(self, command: Command) -> None:
        """Note that a stop or a wait was sent; after a stop the arm may be moved by others."""
        if command is STOP:
            self._limiter = self._kind()
        elif command is WAIT:
            self._limiter.rest()
