# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Send joint positions to a controller of ros2_control, bare or as a trajectory.

Knows message types and topics, and nothing of why a command was chosen. trajectory_msgs is
imported only where a parameter asks for it.
"""

import time

import numpy as np
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.qos import COMMAND


class JointPositions:
    """Publish on joint_position_commands, as a forward_command_controller takes them."""

    topic, kind = 'joint_position_commands', Float64MultiArray

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publisher; it is enabled by activate."""
        self._longest = parameters.command_timeout  # s
        self._held: np.ndarray | None = None  # rad
        self._sent = 0.0  # s, by a clock that nobody can set
        self.publisher = node.create_lifecycle_publisher(self.kind, self.topic, COMMAND)

    def send(self, command: Command, now: Time, measured: np.ndarray | None) -> None:
        """
        Publish one command; a stop or a wait is the position that was commanded last.

        Not a measured one: the arm comes behind the command, and would be jerked back. What was
        commanded longer ago than command_timeout is not repeated: the arm may be elsewhere.
        """
        positions, rates = command.positions, command.rates
        if positions is None:
            if self._held is None or time.monotonic() - self._sent > self._longest:
                self._held = None
                return
            positions, rates = self._held, np.zeros_like(self._held)
        self._held, self._sent = positions, time.monotonic()
        self.publisher.publish(self._message(positions, rates))

    def _message(self, positions: np.ndarray, rates: np.ndarray) -> object:
        return Float64MultiArray(data=positions.tolist())


class JointTrajectories(JointPositions):
    """
    Publish on joint_trajectory, as a joint_trajectory_controller takes them.

    Each message says where to be a period on and, unless the next one replaces it first, where to
    come to rest: so an arm whose node has died brakes, and a controller that wants trajectories to
    end at rest, as is its default since Jazzy, takes it.
    """

    topic = 'joint_trajectory'

    def __init__(self, node: LifecycleNode, parameters: VLAParameters):
        """Create the publisher; raises ValueError where trajectory_msgs is not installed."""
        try:
            from trajectory_msgs import msg
        except ImportError as error:
            raise ValueError(
                'output: expected trajectory_msgs beside this ROS install, found none: '
                'apt install ros-$ROS_DISTRO-trajectory-msgs, or choose joint_positions'
            ) from error
        self._point, self.kind = msg.JointTrajectoryPoint, msg.JointTrajectory
        self._parameters = parameters
        super().__init__(node, parameters)

    def _message(self, positions: np.ndarray, rates: np.ndarray) -> object:
        given = self._parameters
        ahead = 1 / given.publish_rate
        points = [(ahead, positions, rates)]
        if np.any(rates):
            longest = float(np.max(np.abs(rates) / np.array(given.max_joint_acceleration)))
            rest = np.clip(positions + rates * longest / 2, given.joint_lower, given.joint_upper)
            points.append((ahead + longest, rest, np.zeros_like(rates)))
        return self.kind(  # no stamp: it begins when it comes
            joint_names=list(given.arm_joints),
            points=[
                self._point(
                    positions=at.tolist(),
                    velocities=speeds.tolist(),
                    time_from_start=Duration(seconds=after).to_msg(),
                )
                for after, at, speeds in points
            ],
        )
