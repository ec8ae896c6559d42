# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A scripted expert for LIBERO's tasks, as stages that each suite's module names.

It acts on the simulator's state alone, not on what it did before, so that it can say what to do in
any state that a model brings the arm into. Knows no images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recipes.libero import goal
from recipes.libero import object as object_suite
from recipes.libero import spatial
from recipes.libero import ten
from recipes.libero.world import Aims
from recipes.libero.world import Stage
from recipes.libero.world import World

STAGES: dict[str, Callable[[str, World], list[Stage]]] = {
    'libero_object': object_suite.stages,
    'libero_goal': goal.stages,
    'libero_spatial': spatial.stages,
    'libero_10': ten.stages,
}
HEIGHT = 0.25  # m over the table: where the hand goes when nothing is left to do
FREE = (0.03, 0.06)  # m between the fingers: it stays below, and rises in full above


class Expert:
    """Say what to do next in one task's simulator (`Libero.sim_env`)."""

    def __init__(self, sim_env: Any, task_name: str) -> None:
        """Lay out the task's stages; raises KeyError for a suite without any."""
        self.world = World(sim_env)
        suite = Path(self.world.env.bddl_file_name).parent.name
        self.stages = STAGES[suite](task_name, self.world)

    def action(self) -> np.ndarray:
        """Return the next action [7] in the units of the suite's training data."""
        stage = self._stage()
        return self._rise() if stage is None else stage.action()

    def aims(self) -> Aims:
        """Return what the hand is after: of the last stage when all are done."""
        return (self._stage() or self.stages[-1]).aims()

    def _stage(self) -> Stage | None:
        return next((stage for stage in self.stages if not stage.done()), None)

    def _rise(self) -> np.ndarray:
        world, (closed, free) = self.world, FREE
        goal = world.hand.copy()
        share = np.clip((world.opening - closed) / (free - closed), 0, 1)  # let go of it first
        goal[2] += share * (world.table + HEIGHT - goal[2])
        return world.command(goal, 0.0, 1.0, world.slanted)
