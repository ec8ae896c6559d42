# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Send commands to the arm driver, as the parameter output says, and to the gripper's.

Knows message types and topics, and nothing of why a command was chosen. control_msgs comes with a
ROS install and is imported only where a parameter asks for it.
"""

from typing import Any

from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.action import ActionClient
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.motion.pose_target import PoseTarget
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.joint_outputs import JointPositions
from vla_cache_ros.ros.joint_outputs import JointTrajectories
from vla_cache_ros.ros.qos import COMMAND

STEP = 0.02  # of the way from closed to open; a smaller change is no new goal for the gripper
STOP_TIMEOUT = 0.5  # s; a listener that has gone without a word shall not hold the end up


class ArmOutputs:
    """Send to whichever drivers the parameters name."""

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publishers; raises ValueError for an interface that is not installed."""
        self._node = node
        motion = MOTION[parameters.output]
        self._gripper = None
        if parameters.gripper_output == 'commands':
            self._gripper = GripperTopic(node, parameters)
        elif parameters.gripper_output not in ('joint', 'none'):
            self._gripper = GripperAction(node, parameters)
        self._motion = motion(node, parameters)

    def send(self, command: Command, now: Time, measured: np.ndarray | None) -> None:
        """Send one command, stamped now; measured: pose [6], xyz (m) and axis-angle (rad)."""
        if command.gripper is not None and self._gripper is not None:
            self._gripper.send(command.gripper)
        self._motion.send(command, now, measured)

    def destroy(self) -> None:
        """Give the publishers back, once whoever listens has the last stop."""
        self._motion.publisher.wait_for_all_acked(Duration(seconds=STOP_TIMEOUT))
        self._node.destroy_lifecycle_publisher(self._motion.publisher)
        if self._gripper is not None:
            self._gripper.destroy()


class TwistOutput:
    """Publish velocities on delta_twist_cmds, as MoveIt Servo takes them in speed units."""

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publisher; it is enabled by activate."""
        self._frame = parameters.frame_id
        self.publisher = node.create_lifecycle_publisher(TwistStamped, 'delta_twist_cmds', COMMAND)

    def send(self, command: Command, now: Time, measured: np.ndarray | None) -> None:
        """Publish one command, stamped now."""
        message = TwistStamped()
        message.header.stamp = now.to_msg()
        message.header.frame_id = self._frame
        twist = message.twist
        twist.linear.x, twist.linear.y, twist.linear.z = command.linear.tolist()
        twist.angular.x, twist.angular.y, twist.angular.z = command.angular.tolist()
        self.publisher.publish(message)


class PoseOutput:
    """Publish a target pose on target_pose, moved on from the measured one."""

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publisher; it is enabled by activate."""
        self._frame = parameters.frame_id
        self._longest = round(1e9 * parameters.command_timeout)  # ns
        self._target = PoseTarget(
            parameters.max_linear_velocity * parameters.command_timeout,
            parameters.max_angular_velocity * parameters.command_timeout,
        )
        self._held = WAIT
        self._sent = 0  # ns
        self.publisher = node.create_lifecycle_publisher(PoseStamped, 'target_pose', COMMAND)

    def send(self, command: Command, now: Time, measured: np.ndarray | None) -> None:
        """
        Publish where the command before has led to by now, and hold on to this one.

        measured: pose [6], xyz (m) and axis-angle (rad). A stop begins at it, and so does the
        first action after a stop or a wait, whatever the arm had not yet caught up with.
        """
        if measured is None:  # nothing was ever commanded: there is nothing to stop
            return
        elapsed = min(max(now.nanoseconds - self._sent, 0), self._longest) * 1e-9
        moves = not (command.stop or command is WAIT)
        if (command.stop and not self._held.stop) or (moves and self._at_rest()):
            self._target.hold(measured)
        else:
            self._target.advance(self._held.linear, self._held.angular, elapsed, measured)
        self._held, self._sent = command, now.nanoseconds
        message = PoseStamped()
        message.header.stamp = now.to_msg()
        message.header.frame_id = self._frame
        set_pose(message.pose, self._target.position, self._target.quaternion)
        self.publisher.publish(message)

    def _at_rest(self) -> bool:
        return self._held.stop or self._held is WAIT


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


MOTION = {
    'twist': TwistOutput,
    'pose': PoseOutput,
    'joint_positions': JointPositions,
    'joint_trajectory': JointTrajectories,
}


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
            'apt install ros-$ROS_DISTRO-control-msgs, or choose commands or none'
        ) from error
    return getattr(action, kind)
