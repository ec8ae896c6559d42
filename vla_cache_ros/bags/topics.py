# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say where in a bag images, instruction, state and step reports are, and what of it is missing.

Knows names and types of topics; reads no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_cache_ros.bags.corrections import Choice
from vla_cache_ros.control.sensing.robot import JOINTS as JOINT_SOURCE
from vla_cache_ros.control.sensing.robot import POSE as POSE_SOURCE
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.robot import TF
from vla_cache_ros.control.sensing.robot import TF_STATIC
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.control.sensing.transforms import TransformBuffer

if TYPE_CHECKING:
    from vla_cache_ros.bags.reader import Bag

IMAGES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
STRING = 'std_msgs/msg/String'
JOINTS = 'sensor_msgs/msg/JointState'
POSE = 'geometry_msgs/msg/PoseStamped'
TRANSFORMS = 'tf2_msgs/msg/TFMessage'


@dataclass(frozen=True)
class BagTopics:
    """
    Name the topics of a recording; an empty name stands for none.

    images: one per camera, primary first; where only '<name>/compressed' was recorded, that is
    taken. text: an instruction in place of the topic. pose: of PoseStamped; with an ee_frame of
    transforms, in which that frame is looked up in base_frame. arm_joints: begin the state in
    place of the pose. Without joints, or a pose that is needed, observations carry no state. With
    an empty report, observations are chosen as if nothing had run live. control: says who has the
    arm. corrections: what is done with observations while a person has it.
    encoding_8uc3: what images of that encoding are, bgr8 or rgb8.
    """

    images: tuple[str, ...] = ('/image_raw', '/wrist/image_raw')
    instruction: str = '/instruction'
    text: str = ''
    joints: str = '/joint_states'
    pose: str = '/end_effector_pose'
    finger_joints: tuple[str, ...] = ('finger_joint1', 'finger_joint2')
    finger_scale: tuple[float, ...] = ()
    finger_offset: tuple[float, ...] = ()
    arm_joints: tuple[str, ...] = ()
    joint_scale: tuple[float, ...] = ()
    joint_offset: tuple[float, ...] = ()
    base_frame: str = 'base_link'
    ee_frame: str = ''
    report: str = '/vla_node/step_report'
    control: str = '/vla_node/control_mode'
    corrections: Choice = 'use'
    encoding_8uc3: str = ''

    def recorded_images(self, bag: Bag) -> tuple[str, ...]:
        """Return the image topics as they are called in the bag."""
        compressed = [f'{name}/compressed' for name in self.images]
        return tuple(
            other if name not in bag.topics and other in bag.topics else name
            for name, other in zip(self.images, compressed, strict=True)
        )

    @property
    def layout(self) -> StateLayout:
        """Return what the state is made of; raises ValueError for numbers that do not fit."""
        return StateLayout(
            self.finger_joints,
            self.finger_scale,
            self.finger_offset,
            self.arm_joints,
            self.joint_scale,
            self.joint_offset,
        )

    def states(self, bag: Bag) -> dict[str, str]:
        """Return what of the bag the state is made of: topic -> its name for a StateInput."""
        needed = {self.joints: JOINT_SOURCE}
        if self.layout.needs_pose:
            needed[self.pose] = TF if self.ee_frame else POSE_SOURCE
        return needed if needed.keys() <= bag.topics.keys() else {}

    def state_input(self, bag: Bag) -> StateInput:
        """Return what makes the state of the messages, with all that is static in it already."""
        if not self.states(bag):
            return StateInput()
        pose = PoseSource() if self.layout.needs_pose else None
        if pose and self.ee_frame:
            pose = PoseSource(self.base_frame, self.ee_frame, TransformBuffer())
        made = StateInput(self.layout, pose)
        if pose and self.ee_frame:
            for message in bag.messages({f'{self.pose}_static'}):
                made.take(TF_STATIC, message.message)  # true before it was recorded, too
        return made

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
        if self.corrections != 'use' and not self.has_reports(bag):
            wanted.append((self.control, (STRING,), '--control-topic, for --corrections'))
        if needs_state:
            wanted.append((self.joints, (JOINTS,), '--joint-topic'))
        if needs_state and self.layout.needs_pose:
            kind, option = (TRANSFORMS, '') if self.ee_frame else (POSE, '; or --ee-frame in /tf')
            wanted.append((self.pose, (kind,), f'--pose-topic{option}'))
        missing = [
            f'{name or "a topic"} ({kinds[0]}, {option})'
            for name, kinds, option in wanted
            if bag.topics.get(name) not in kinds
        ]
        if missing:
            there = ', '.join(f'{name} ({kind})' for name, kind in sorted(bag.topics.items()))
            raise ValueError(f'{bag.path}: expected {"; ".join(missing)}; there are {there}')
