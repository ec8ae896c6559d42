# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read and write the fields of ROS messages that several rooms need."""

from collections.abc import Iterable

import numpy as np


def stamp_of(message: object) -> int:
    """Return the header stamp of a message in ns."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def twist_vector(message: object) -> np.ndarray:
    """Return a geometry_msgs/TwistStamped as [6]: m/s, rad/s."""
    linear, angular = message.twist.linear, message.twist.angular
    return np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])


def set_pose(pose: object, xyz: Iterable[float], quaternion: Iterable[float]) -> None:
    """Write a position (m) and a quaternion, xyzw, into a geometry_msgs/Pose."""
    point, turn = pose.position, pose.orientation
    point.x, point.y, point.z = (float(value) for value in xyz)
    turn.x, turn.y, turn.z, turn.w = (float(value) for value in quaternion)
