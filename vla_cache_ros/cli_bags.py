# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options by which a command is told where in a bag images, instruction and state are."""

from typing import Annotated

import typer

ImageTopics = Annotated[
    list[str] | None,
    typer.Option('--image-topic', help='Images, primary camera first; repeat for each camera.'),
]
InstructionTopic = Annotated[str, typer.Option(help='Instructions in the bag.')]
Instruction = Annotated[str, typer.Option(help='An instruction in place of the topic.')]
JointTopic = Annotated[str, typer.Option(help='Joint states in the bag.')]
PoseTopic = Annotated[str, typer.Option(help='Poses of the gripper in the bag.')]
FingerJoints = Annotated[
    list[str] | None, typer.Option('--finger-joint', help='Name of a finger joint; repeat.')
]
Period = Annotated[
    float, typer.Option(min=0.0, help='Seconds between inferences: execute_steps / rate.')
]
