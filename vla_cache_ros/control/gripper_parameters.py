# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node that say how an action opens the gripper, and what its driver is sent.

Knows neither ROS nor what they are used for.
"""

from dataclasses import dataclass

from vla_cache_ros.control.parameters import parameter
from vla_cache_ros.control.parameters import Parameters


@dataclass(frozen=True)
class GripperParameters(Parameters):
    """Parameters of vla_node about the gripper."""

    gripper_open: float = parameter(
        1.0, 'last number of an action that means open', bounds=(-10.0, 10.0)
    )
    gripper_closed: float = parameter(
        0.0, 'last number of an action that means closed', bounds=(-10.0, 10.0)
    )
    gripper_hysteresis: float = parameter(
        0.0,
        'share of the way, around its middle, in which the gripper stays open or closed, as it '
        'is; above 0 it is never sent anything in between',
        bounds=(0.0, 0.99),
        live=True,
    )
    gripper_dwell: float = parameter(
        0.0,
        'shortest time between opening and closing; above 0 the gripper is never sent anything '
        'in between',
        's',
        (0.0, 10.0),
        live=True,
    )
    gripper_output: str = parameter(
        'commands',
        'commands (Float64MultiArray on gripper/commands), parallel_gripper_command or '
        'gripper_command (actions of control_msgs on gripper_cmd), joint (one of arm_joints, '
        'in action and state, commanded as these are; there may be several), or none',
        pattern='commands|parallel_gripper_command|gripper_command|joint|none',
    )
    gripper_joint: str = parameter(
        'finger_joint1', 'joint that a ParallelGripperCommand names', pattern='.+'
    )
    gripper_open_command: float = parameter(
        1.0, 'what the gripper driver is sent to open', bounds=(-1000.0, 1000.0)
    )
    gripper_closed_command: float = parameter(
        0.0, 'what the gripper driver is sent to close', bounds=(-1000.0, 1000.0)
    )

    @property
    def gripper_apart(self) -> bool:
        """Say whether the last number of an action is the gripper's, and no joint's."""
        return self.gripper_output != 'joint'
