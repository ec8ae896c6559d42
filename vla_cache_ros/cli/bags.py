# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options by which a command is told where in a bag images, instruction and state are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vla_cache_ros.bags.topics import BagTopics

CONTROL_FREQUENCY = 10.0  # Hz, as config/tabletop.yaml

ImageTopics = Annotated[
    list[str] | None,
    typer.Option('--image-topic', help='--bag: image topic; one per camera, primary first.'),
]
Instruction = Annotated[
    str, typer.Option(help='--bag: what the robot shall do, in place of a topic.')
]
InstructionTopic = Annotated[str, typer.Option(help='--bag: topic of the instruction.')]
JointTopic = Annotated[str, typer.Option(help='--bag: joint states.')]
PoseTopic = Annotated[str, typer.Option(help='--bag: pose of the end effector.')]
FingerJoints = Annotated[
    list[str] | None,
    typer.Option(
        '--finger-joint',
        help='--bag: finger joint that ends the state vector; repeat '
        '(finger_joint1, finger_joint2).',
    ),
]


def topics_of(
    images: Sequence[str] | None,
    instruction: str,
    instruction_topic: str,
    joints: str,
    pose: str,
    finger_joints: Sequence[str] | None,
    report: str,
) -> BagTopics:
    """Return the topics that the options name, the usual ones where they name none."""
    from vla_cache_ros.bags.topics import BagTopics

    usual = BagTopics()
    return BagTopics(
        images=tuple(images or usual.images),
        instruction=instruction_topic,
        text=instruction.strip(),
        joints=joints,
        pose=pose,
        finger_joints=tuple(finger_joints or usual.finger_joints),
        report=report,
    )


def refuse(context: typer.Context, names: Sequence[str], with_bags: bool) -> None:
    """Raise ValueError if an option was given that makes no sense with bags, or without."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name)
        if option.name in names and given is not None and given.name != 'DEFAULT':
            trouble = 'cannot be combined with --bag' if with_bags else 'needs --bag'
            raise ValueError(f'{option.opts[0]} {trouble}: see {context.command_path} --help')
