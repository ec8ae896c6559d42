# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What an environment is to an evaluation, and what it is told about the policy that will act.

One file an environment: it turns the simulator's cameras into observations as the checkpoint's
training data had them, and the checkpoint's actions into the simulator's. Knows no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import numpy as np
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport


class Actor(Protocol):
    """Act on observations; what `vla_cache_ros.policy.Policy` does."""

    def reset(self, cause: str = 'episode_reset') -> None:
        """Start an episode."""

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Return the next actions and what they cost."""


@dataclass(frozen=True)
class Setup:
    """
    Say what will act in an environment.

    family: `openvla`, `openvla-oft` or another of `vla.families`, which decides the image and
    action paths. cameras: images of an observation. chunk: actions of an inference. proprio:
    length of the robot state, 0 without. tasks: names of the tasks to draw from, all if empty.
    raw_images: the policy walks its checkpoint's own image path, and wants cameras' pictures as
    they are; else they come as the checkpoint's training data had them.
    """

    family: str
    cameras: int
    chunk: int
    proprio: int = 0
    tasks: tuple[str, ...] = ()
    raw_images: bool = False

    @classmethod
    def of(cls, policy: Any, tasks: tuple[str, ...] = ()) -> 'Setup':  # noqa: ANN401
        """Return what a `vla_cache_ros.policy.Policy` says of itself."""
        facts = policy.family, policy.num_images, policy.chunk, policy.proprio_size
        return cls(*facts, tasks, raw_images=bool(policy.images.paths))


class Task(Protocol):
    """Name what is to be done."""

    name: str


class Environment(Protocol):
    """
    Run episodes of tasks; one at a time, from one thread.

    execute_steps: actions of a chunk that are executed before the next observation.
    control_frequency: actions a second, Hz. task: of the present episode. max_steps: its limit,
    control periods.
    """

    execute_steps: int
    control_frequency: float
    task: Task
    max_steps: int

    def reset(self, seed: int) -> Observation:
        """Start the episode that a seed stands for, the same for every policy; observe."""

    def observe(self) -> Observation:
        """Return what the cameras see after `execute_steps` actions since the last time."""

    def step(self, action: np.ndarray) -> None:
        """Execute one action `[A]`, in the units of the checkpoint's training data."""

    def success(self) -> bool:
        """Say whether the task is done."""

    def wrap(self, actor: Actor) -> Actor:
        """Return the actor, with whatever the benchmark puts between inference and robot."""

    def facts(self) -> Mapping[str, str]:
        """Return what a score depends on besides the seed: versions, rendering."""

    def close(self) -> None:
        """Free what the simulator holds."""
