# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand in for cameras and an arm at full rate: pictures that move and state that does not.

For drills of the load on a machine; knows neither a scene nor a policy.
"""

from array import array
import sys

from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.parameters import PictureSourceParameters
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.process import run

PICTURES = 15  # that are shown in turn
STATE_RATE = 100.0  # Hz
DEPTH = 10  # as camera drivers publish
NOISE = 3  # grey levels, as a sensor's; without it nothing would be left to record


class PictureSource(Node):
    """Publish images, states and poses; image k of each camera is stamped start + k / rate."""

    def __init__(self, **options):
        """Draw the pictures and start."""
        super().__init__('picture_source', **options)
        self._settings = declare(self, PictureSourceParameters)
        self._pictures = [array('B', picture.tobytes()) for picture in self._draw()]
        self._images = [
            self.create_publisher(Image, topic, DEPTH) for topic in self._settings.image_topics
        ]
        self._joints = self.create_publisher(JointState, 'joint_states', 1)
        self._pose = self.create_publisher(PoseStamped, 'end_effector_pose', 1)
        self._count = 0
        self._start = self._now()
        self.create_timer(1 / self._settings.image_rate, self._show)
        self.create_timer(1 / STATE_RATE, self._tell)

    def close(self) -> None:
        """Say how many images there were."""
        self.get_logger().info(f'{self._count} images of each camera')

    def _draw(self) -> list[np.ndarray]:
        """Return gradients with a block that wanders, uint8 [H, W, 3]."""
        height, width = self._settings.height, self._settings.width
        rng = np.random.default_rng(0)
        ground = np.linspace(40, 200, width, dtype=np.float32)[None, :, None]
        drawn = []
        for index in range(PICTURES):
            picture = ground + rng.normal(0, NOISE, (height, width, 3)).astype(np.float32)
            left = (width - 64) * index // PICTURES
            picture[height // 2 : height // 2 + 64, left : left + 64] = (200, 60, 40)
            drawn.append(np.clip(picture, 0, 255).astype(np.uint8))
        return drawn

    def _show(self) -> None:
        """Publish what is due; a timer that came late has left out its missed turns."""
        period = 1e9 / self._settings.image_rate
        while (stamp := self._start + round(self._count * period)) <= self._now():
            message = Image(encoding='rgb8', step=3 * self._settings.width)
            message.width, message.height = self._settings.width, self._settings.height
            message.header.stamp = Time(nanoseconds=stamp).to_msg()
            message.data = self._pictures[self._count % PICTURES]
            for publisher in self._images:
                publisher.publish(message)
            self._count += 1

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _tell(self) -> None:
        stamp = self.get_clock().now().to_msg()
        joints = JointState(name=['finger_joint1', 'finger_joint2'], position=[0.04, 0.04])
        pose = PoseStamped()
        pose.header.frame_id = 'base_link'
        set_pose(pose.pose, (0.4, 0.0, 0.2), (1.0, 0.0, 0.0, 0.0))
        joints.header.stamp = pose.header.stamp = stamp
        self._joints.publish(joints)
        self._pose.publish(pose)


def main(args: list[str] | None = None) -> None:
    """Publish until a signal comes."""
    sys.exit(run(PictureSource, args))


if __name__ == '__main__':
    main()
