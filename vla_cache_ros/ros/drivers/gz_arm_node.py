# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Be the arm's driver in Gazebo: twists in, targets of the nine joint controllers out.

Takes the joint states from Gazebo, brings the arm to its home posture and from there on follows
delta_twist_cmds as sim_robot_node does, with the same inverse kinematics. It knows Gazebo by its
topics only (config/gz_bridge.yaml), so any simulator with such topics will do.
"""

import sys

from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.parameters import GzArmParameters
from vla_cache_ros.environments.tabletop.scene import ARM_JOINTS
from vla_cache_ros.environments.tabletop.scene import FINGER_JOINTS
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.drivers.servo_inputs import ServoInputs
from vla_cache_ros.ros.drivers.servo_inputs import TICK
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.qos import COMMAND
from vla_cache_ros.ros.qos import NEWEST

LAG = 10 * TICK  # ns; a driver that was called less often than this lets the time go


class GzArmNode(Node):
    """Send joint targets at a fixed rate of the simulated time while joint states come."""

    def __init__(self, **options):
        """Declare, publish, subscribe; the arm moves once Gazebo reports its joints."""
        from vla_cache_ros.environments.tabletop.arm import Arm  # a lack of MuJoCo is one line

        super().__init__('gz_arm_node', **options)
        self._settings = declare(self, GzArmParameters)
        self._inputs = ServoInputs(self, self._settings)
        self._arm = Arm()
        self._joints: JointState | None = None
        self._done = 0  # ns, up to which twists have been followed
        self._targets = [
            self.create_publisher(Float64, f'{joint}/cmd_pos', COMMAND)
            for joint in (*ARM_JOINTS, *FINGER_JOINTS)
        ]
        self._pose = self.create_publisher(PoseStamped, 'end_effector_pose', 1)
        self.create_subscription(JointState, 'joint_states', self._on_joints, NEWEST)
        self.create_timer(TICK * 1e-9, self._on_tick)

    def close(self) -> None:
        """Leave the arm to its joint controllers, which hold the last target."""

    def _on_joints(self, message: JointState) -> None:
        missing = [joint for joint in ARM_JOINTS if joint not in message.name]
        if missing or len(message.position) != len(message.name):
            self._inputs.refuse(
                f'joint_states: expected positions of {", ".join(ARM_JOINTS)}, got '
                f'{len(message.position)} of {", ".join(message.name) or "none"}'
            )
            return
        if self._joints is not None and stamp_of(message) < stamp_of(self._joints):
            self._arm.forget()  # the simulation began anew
            self._done = 0
        self._joints = message

    def _on_tick(self) -> None:
        now = self.get_clock().now().nanoseconds
        if (
            self._joints is None
            or now - stamp_of(self._joints) > self._settings.state_timeout * 1e9
        ):
            self._inputs.refuse(
                f'joint_states: expected them every {self._settings.state_timeout:g} s, got '
                'none; is the simulation running, and the bridge?'
            )
            return
        positions = dict(zip(self._joints.name, self._joints.position, strict=True))
        joints = np.array([positions[joint] for joint in ARM_JOINTS])
        self._publish_pose(joints)
        end = now - round(1e9 * self._settings.latency)
        if not 0 <= end - self._done <= LAG:
            self._done = end - TICK
        if end == self._done:
            return
        duration = (end - self._done) * 1e-9
        if self._arm.home:
            twist, gripper = self._inputs.mean(self._done, end)
            targets = self._arm.follow(twist, gripper, joints, duration)
        else:
            targets = self._arm.go_home(joints, duration)
            self._inputs.clear()  # what came before the arm was ready is not made up for
        self._done = end
        for publisher, target in zip(self._targets, targets, strict=True):
            publisher.publish(Float64(data=float(target)))

    def _publish_pose(self, joints: np.ndarray) -> None:
        message = PoseStamped()
        message.header.stamp = self._joints.header.stamp
        message.header.frame_id = self._settings.frame_id
        set_pose(message.pose, *self._arm.pose(joints))
        self._pose.publish(message)


def main(args: list[str] | None = None) -> None:
    """Drive the arm until a signal comes."""
    sys.exit(run(GzArmNode, args))


if __name__ == '__main__':
    main()
