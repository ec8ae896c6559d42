# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where in a bag images, instruction and state are: options that several verbs have."""

from collections.abc import Collection
from dataclasses import dataclass
from dataclasses import fields
from typing import Any

from vla_cache_ros.bags.corrections import Choice
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.settings import Settings

CONTROL_FREQUENCY = 10.0  # Hz, as config/tabletop.yaml


@dataclass(frozen=True, kw_only=True)
class TopicOptions(Settings):
    """With --bag: the topics."""

    image_topic: tuple[str, ...] = ()
    """--bag: image topic; one per camera, primary first."""
    instruction: str = BagTopics.text
    """--bag, --dataset: what the robot shall do, in place of a topic or of the tasks."""
    instruction_topic: str = BagTopics.instruction
    """--bag: topic of the instruction."""
    joint_topic: str = BagTopics.joints
    """--bag: joint states."""
    pose_topic: str = BagTopics.pose
    """--bag: pose of the end effector; with --ee-frame of transforms (/tf)."""
    base_frame: str = BagTopics.base_frame
    """--bag: frame in which --ee-frame is looked up."""
    ee_frame: str = BagTopics.ee_frame
    """--bag: frame of the end effector in /tf and /tf_static."""
    arm_joint: tuple[str, ...] = ()
    """--bag: joint whose position begins the state, in place of the pose; repeat."""
    joint_scale: tuple[float, ...] = ()
    """--bag: rad that a 1 of the state's number stands for; repeat for each arm joint."""
    joint_offset: tuple[float, ...] = ()
    """--bag: position, rad, at which that number is 0; repeat for each arm joint."""
    finger_joint: tuple[str, ...] = ()
    """--bag: finger joint that ends the state vector; repeat (finger_joint1, finger_joint2);
    '' for none."""
    finger_scale: tuple[float, ...] = ()
    """--bag: what its position is multiplied by; repeat for each finger joint."""
    finger_offset: tuple[float, ...] = ()
    """--bag: what is added to it then; repeat for each finger joint."""

    control_topic: str = BagTopics.control
    """--bag: who had the arm."""
    corrections: Choice = 'use'
    """--bag, --dataset: what is done with observations while a person had taken the arm over."""

    def named(self, report: str = '') -> BagTopics:
        """Return these topics, the usual ones where none is named; report: that of a live node."""
        usual = self.ee_frame and self.pose_topic == BagTopics.pose
        return BagTopics(
            images=self.image_topic or BagTopics.images,
            instruction=self.instruction_topic,
            text=self.instruction.strip(),
            joints=self.joint_topic,
            pose='/tf' if usual else self.pose_topic,
            finger_joints=tuple(filter(None, self.finger_joint or BagTopics.finger_joints)),
            finger_scale=self.finger_scale,
            finger_offset=self.finger_offset,
            arm_joints=self.arm_joint,
            joint_scale=self.joint_scale,
            joint_offset=self.joint_offset,
            base_frame=self.base_frame,
            ee_frame=self.ee_frame,
            report=report,
            control=self.control_topic,
            corrections=self.corrections,
        )


def usual_steps(checkpoint: str) -> int:
    """Return how many actions of a chunk the ready-made parameters of a checkpoint execute."""
    from vla_cache_ros.vla.checkpoint import is_causal
    from vla_cache_ros.vla.checkpoint import resolve

    return 1 if is_causal(resolve(checkpoint)) else 4


def refuse(options: Any, trouble: str, only: Collection[str] | None = None) -> None:
    """Raise ValueError if one of these options, or of some of them, is not at its default."""
    usual = type(options)()
    for name, value in vars(options).items():
        if value != getattr(usual, name) and (only is None or name in only):
            raise ValueError(f'--{name.replace("_", "-")} {trouble}')


SHARED = ('instruction', 'corrections')  # that data sets have too
# what means something in a bag alone
ONLY_BAGS = {one.name for one in fields(TopicOptions)} - {*SHARED}
ONLY_BAGS |= {'encoding_8uc3', 'report_topic'}
