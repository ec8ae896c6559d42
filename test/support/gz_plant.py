# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The MuJoCo arm behind the topics that Gazebo and its bridge would offer: the plant of tests.

    python test/support/gz_plant.py     until Ctrl-C, with images, in its own time on /clock
"""

import sys

import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64
from vla_cache_ros.environments.tabletop import robot as tabletop
from vla_cache_ros.environments.tabletop.robot import CAMERAS
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.scene import ARM_JOINTS
from vla_cache_ros.environments.tabletop.scene import FINGER_JOINTS
from vla_cache_ros.ros.process import run

IMAGE_TOPICS = dict(zip(CAMERAS, ('image_raw', 'wrist/image_raw'), strict=True))
FIXED = ('base_mount', 'hand_mount')  # joints that do not move, which Gazebo reports as well
PERIOD = 0.01  # s between two joint states
IMAGE_EVERY = 5  # joint states


class Plant(Node):
    """Joint position targets in; joint states, time and, if wanted, images out."""

    def __init__(self, images=False, **options):
        super().__init__('gz_plant', **options)
        self.robot = Tabletop()
        self.robot.reset_state(7, 'put_red_on_green')
        self.begin(np.zeros(9))
        self.commands = {joint: [] for joint in (*ARM_JOINTS, *FINGER_JOINTS)}
        for index, joint in enumerate(self.commands):
            self.create_subscription(
                Float64, f'{joint}/cmd_pos', lambda m, i=index, j=joint: self.take(i, j, m), 1
            )
        self.clock = self.create_publisher(Clock, '/clock', 10)
        self.states = self.create_publisher(JointState, 'joint_states', 1)
        topics = IMAGE_TOPICS if images else {}
        self.images = {c: self.create_publisher(Image, t, 1) for c, t in topics.items()}
        self.ticks = 0
        self.mute = False  # about the joints
        self.timer = self.create_timer(PERIOD, self.tick)

    def begin(self, joints):
        """Start at joints [9], at rest, with targets there."""
        self.robot.data.qpos[:9] = joints
        self.robot.data.qvel[:9] = 0
        self.robot.data.ctrl[:] = joints

    def take(self, index, joint, message):
        self.commands[joint].append(message.data)
        self.robot.data.ctrl[index] = message.data

    def tick(self):
        steps = round(PERIOD / self.robot.model.opt.timestep)
        tabletop.mujoco.mj_step(self.robot.model, self.robot.data, steps)
        self.ticks += 1
        stamp = Time(nanoseconds=round(self.robot.time * 1e9)).to_msg()
        self.clock.publish(Clock(clock=stamp))
        positions = self.robot.joint_positions() | dict.fromkeys(FIXED, 0.0)
        names = sorted(positions, reverse=True)  # Gazebo promises no order
        message = JointState(name=names, position=[float(positions[name]) for name in names])
        message.header.stamp = stamp
        if not self.mute:
            self.states.publish(message)
        if self.ticks % IMAGE_EVERY == 0:
            for camera, publisher in self.images.items():
                rgb = self.robot.render(camera)
                image = Image(encoding='rgb8', height=rgb.shape[0], width=rgb.shape[1])
                image.header.stamp, image.step = stamp, 3 * rgb.shape[1]
                image.data = rgb.tobytes()
                publisher.publish(image)

    def close(self):
        self.robot.close()


if __name__ == '__main__':
    sys.exit(run(lambda: Plant(images=True), sys.argv))
