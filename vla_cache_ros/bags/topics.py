# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say where in a bag images, instruction, state and step reports are, and what of it is missing.

Knows names and types of topics; reads no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vla_cache_ros.bags.reader import Bag

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
STRING = 'std_msgs/msg/String'
JOINTS = 'sensor_msgs/msg/JointState'
POSE = 'geometry_msgs/msg/PoseStamped'


@dataclass(frozen=True)
class BagTopics:
    """
    Name the topics of a recording; an empty name stands for none.

    images: one per camera, primary first; where only '<name>/compressed' was recorded, that is
    taken. text: an instruction in place of the topic. Without joints or pose, observations carry
    no state. With an empty report, observations are chosen as if nothing had run live.
    encoding_8uc3: what images of that encoding are, bgr8 or rgb8.
    """

    images: tuple[str, ...] = ('/image_raw', '/wrist/image_raw')
    instruction: str = '/instruction'
    text: str = ''
    joints: str = '/joint_states'
    pose: str = '/end_effector_pose'
    finger_joints: tuple[str, ...] = ('finger_joint1', 'finger_joint2')
    report: str = '/vla_node/step_report'
    encoding_8uc3: str = ''

    def recorded_images(self, bag: Bag) -> tuple[str, ...]:
        """Return the image topics as they are called in the bag."""
        compressed = [f'{name}/compressed' for name in self.images]
        return tuple(
            other if name not in bag.topics and other in bag.topics else name
            for name, other in zip(self.images, compressed, strict=True)
        )

    def has_state(self, bag: Bag) -> bool:
        """Say whether joint states and poses were both recorded."""
        return {self.joints, self.pose} <= set(bag.topics)

    def has_reports(self, bag: Bag) -> bool:
        """Say whether the bag holds a live node's step reports."""
        return bag.counts.get(self.report, 0) > 0

    def check(self, bag: Bag, needs_state: bool) -> None:
        """
        Raise ValueError unless the bag has what an observation needs.

        The message lists what is missing, by which option it is named, and what there is.
        """
        wanted = [(name, IMAGES, '--image-topic') for name in self.recorded_images(bag)]
        if not self.text and not self.has_reports(bag):
            wanted.append((self.instruction, (STRING,), '--instruction-topic or --instruction'))
        if needs_state:
            wanted.append((self.joints, (JOINTS,), '--joint-topic'))
            wanted.append((self.pose, (POSE,), '--pose-topic'))
        missing = [
            f'{name or "a topic"} ({kinds[0]}, {option})'
            for name, kinds, option in wanted
            if bag.topics.get(name) not in kinds
        ]
        if missing:
            there = ', '.join(f'{name} ({kind})' for name, kind in sorted(bag.topics.items()))
            raise ValueError(f'{bag.path}: expected {"; ".join(missing)}; there are {there}')
