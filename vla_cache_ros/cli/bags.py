# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where in a bag images, instruction and state are: options that several verbs have."""

from dataclasses import dataclass
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
    """--bag: what the robot shall do, in place of a topic."""
    instruction_topic: str = BagTopics.instruction
    """--bag: topic of the instruction."""
    joint_topic: str = BagTopics.joints
    """--bag: joint states."""
    pose_topic: str = BagTopics.pose
    """--bag: pose of the end effector."""
    finger_joint: tuple[str, ...] = ()
    """--bag: finger joint that ends the state vector; repeat (finger_joint1, finger_joint2)."""

    control_topic: str = BagTopics.control
    """--bag: who had the arm."""
    corrections: Choice = 'use'
    """--bag: what is done with observations while a person had taken the arm over."""

    def named(self, report: str = '') -> BagTopics:
        """Return these topics, the usual ones where none is named; report: that of a live node."""
        return BagTopics(
            images=self.image_topic or BagTopics.images,
            instruction=self.instruction_topic,
            text=self.instruction.strip(),
            joints=self.joint_topic,
            pose=self.pose_topic,
            finger_joints=self.finger_joint or BagTopics.finger_joints,
            report=report,
            control=self.control_topic,
            corrections=self.corrections,
        )


def usual_steps(checkpoint: str) -> int:
    """Return how many actions of a chunk the ready-made parameters of a checkpoint execute."""
    from vla_cache_ros.vla.checkpoint import is_causal
    from vla_cache_ros.vla.checkpoint import resolve

    return 1 if is_causal(resolve(checkpoint)) else 4


def refuse(options: Any, trouble: str) -> None:
    """Raise ValueError if one of these options is not at its default."""
    usual = type(options)()
    for name, value in vars(options).items():
        if value != getattr(usual, name):
            raise ValueError(f'--{name.replace("_", "-")} {trouble}')
