# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An arm that is where it was last sent, by its joints; for the surroundings of vla_node."""

import time

from fake_policy import FakePolicy
import numpy as np
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import Float64MultiArray

JOINTS = tuple(f'joint{number}' for number in range(1, 8))
# a queue of one drops a command that the hold after it repeats, and no hold is seen
EVERY = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
JOINT_PARAMETERS = {
    'output': 'joint_positions',
    'joint_actions': 'delta',
    'arm_joints': list(JOINTS),
    'joint_lower': [-2.9] * 7,
    'joint_upper': [2.9] * 7,
    'max_joint_acceleration': [1000.0],
}


def joint_policy(size=8):
    """Return a policy whose actions turn all joints but the last, for seconds."""
    policy = FakePolicy()
    policy.action = np.full(size, 0.03)
    policy.action[-2:] = 0.0, 1.0
    return policy


class JointArm:
    """
    Follow joint_position_commands at once, in the joint states of the surroundings.

    Their `twists` get what every command moves, so that `moving` and `still` hold for it too.
    """

    def __init__(self, outside, joints=JOINTS):
        """Begin at zero."""
        self.outside, self.joints = outside, joints
        self.commands = []
        outside.arm = dict.fromkeys(joints, 0.0)
        outside.create_subscription(
            Float64MultiArray, 'joint_position_commands', self._follow, EVERY
        )

    def _follow(self, message):
        before = self.commands[-1] if self.commands else list(self.outside.arm.values())
        self.commands.append(list(message.data))
        self.outside.arm = dict(zip(self.joints, message.data, strict=True))
        moved = np.subtract(message.data, before)
        self.outside.twists.append((0.0, moved, time.monotonic(), ''))
