# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Send gripper commands: on a topic, or as goals of the actions of control_msgs.

control_msgs comes with a ROS install and is imported only where a parameter asks for it.
"""

from typing import Any

from rclpy.action import ActionClient
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.qos import COMMAND

STEP = 0.02  # of the way from closed to open; a smaller change is no new goal


class GripperTopic:
    """Publish every command on gripper/commands."""

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publisher; it is enabled by activate."""
        self._node, self._parameters = node, parameters
        self._publisher = node.create_lifecycle_publisher(
            Float64MultiArray, 'gripper/commands', COMMAND
        )

    def send(self, opening: float) -> None:
        """Publish an opening from 0 (closed) to 1 (open), in the driver's own units."""
        self._publisher.publish(Float64MultiArray(data=[position(opening, self._parameters)]))

    def destroy(self) -> None:
        """Give the publisher back."""
        self._node.destroy_lifecycle_publisher(self._publisher)


class GripperAction:
    """Send a goal to gripper_cmd whenever the opening changes; a newer goal replaces the last."""

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the client; raises ValueError where control_msgs is not installed."""
        self._node, self._parameters = node, parameters
        self._kind = 'ParallelGripperCommand'
        if parameters.gripper_output == 'gripper_command':
            self._kind = 'GripperCommand'
        self._type = _action_type(self._kind)
        self._client = ActionClient(node, self._type, 'gripper_cmd')
        self._opening: float | None = None

    def send(self, opening: float) -> None:
        """Send an opening from 0 (closed) to 1 (open), in the driver's own units."""
        if self._opening is not None and abs(opening - self._opening) < STEP:
            return
        if not self._client.server_is_ready():
            self._node.get_logger().warning(
                f'gripper_cmd: expected a {self._kind} server, found none',
                throttle_duration_sec=5.0,
            )
            return
        self._opening = opening
        goal = self._type.Goal()
        if self._kind == 'GripperCommand':
            goal.command.position = position(opening, self._parameters)
        else:
            goal.command.name = [self._parameters.gripper_joint]
            goal.command.position = [position(opening, self._parameters)]
        self._client.send_goal_async(goal)

    def destroy(self) -> None:
        """Give the client back."""
        self._client.destroy()


def position(opening: float, parameters: VLAParameters) -> float:
    """Return what the driver is sent for an opening from 0 (closed) to 1 (open)."""
    closed, fully = parameters.gripper_closed_command, parameters.gripper_open_command
    return closed + opening * (fully - closed)


def _action_type(kind: str) -> Any:  # noqa: ANN401
    try:
        from control_msgs import action
    except ImportError as error:
        raise ValueError(
            'gripper_output: expected control_msgs beside this ROS install, found none: '
            'apt install ros-jazzy-control-msgs, or choose commands or none'
        ) from error
    return getattr(action, kind)
