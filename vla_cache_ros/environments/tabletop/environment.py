# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded robot as an environment: seeds, tasks and limits are `simulation.tabletop`'s."""

from collections.abc import Mapping
from importlib.metadata import version

from vla_cache_ros.environments.environment import Actor
from vla_cache_ros.environments.environment import Setup
from vla_cache_ros.environments.tabletop.robot import Tabletop


class TabletopEnvironment(Tabletop):
    """Add what an evaluation asks of every environment."""

    def wrap(self, actor: Actor) -> Actor:
        """Return the actor as it is."""
        return actor

    def facts(self) -> Mapping[str, str]:
        """Return the version of the physics."""
        return {'mujoco': version('mujoco')}


def make(name: str, setup: Setup) -> TabletopEnvironment:
    """Return the embedded robot with the policy's cameras; raises ValueError for tasks."""
    if setup.tasks:
        raise ValueError(f'tasks: expected none for {name}, which draws from all its own')
    return TabletopEnvironment(setup.cameras)
