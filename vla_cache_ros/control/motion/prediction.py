# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say where the actions of a chunk lead, if nothing binds them.

Pure numpy: knows neither ROS nor limits.
"""

import numpy as np
from vla_cache_ros.control.motion.limits import velocities
from vla_cache_ros.control.motion.pose_target import exponential
from vla_cache_ros.control.motion.pose_target import multiply
from vla_cache_ros.control.vla_parameters import VLAParameters


def predicted_poses(
    actions: np.ndarray, parameters: VLAParameters, measured: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """
    Return the poses that checked actions [n, 7] go through, n + 1 from the measured one on.

    measured: pose [6], xyz (m) and axis-angle (rad). A pose is a position [3], m, and a
    quaternion [4], xyzw.
    """
    period = 1 / parameters.control_frequency
    poses = [(measured[:3], exponential(measured[3:]))]
    for action in actions:
        linear, angular, _ = velocities(action, parameters)
        position, turn = poses[-1]
        poses.append((position + linear * period, multiply(exponential(angular * period), turn)))
    return poses
