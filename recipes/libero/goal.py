# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Goal: ten things to do with the same things on the table."""

from recipes.libero.fixtures import OpenDrawer
from recipes.libero.world import Stage
from recipes.libero.world import World

CABINET = 'wooden_cabinet_1'


def stages(task_name: str, world: World) -> list[Stage]:
    """Return a task's stages; raises KeyError for an unknown one."""
    return TASKS[task_name](world)


TASKS = {
    'open_the_middle_drawer_of_the_cabinet': lambda world: [OpenDrawer(world, CABINET, 'middle')],
    'open_the_top_drawer_and_put_the_bowl_inside': lambda world: [
        OpenDrawer(world, CABINET, 'top'),
    ],
}
