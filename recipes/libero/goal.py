# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Goal: ten things to do with the same things on the table."""

import numpy as np

from recipes.libero.fixtures import OpenDrawer
from recipes.libero.pushing import Drag
from recipes.libero.pushing import TurnOn
from recipes.libero.world import Stage
from recipes.libero.world import World

CABINET, STOVE = 'wooden_cabinet_1', 'flat_stove_1'
PLATE = 'plate_1'
ROUND_CHEESE = np.array([0.1, 0.0, 0.0])  # m


def stages(task_name: str, world: World) -> list[Stage]:
    """Return a task's stages; raises KeyError for an unknown one."""
    return TASKS[task_name](world)


TASKS = {
    'open_the_middle_drawer_of_the_cabinet': lambda world: [OpenDrawer(world, CABINET, 'middle')],
    'open_the_top_drawer_and_put_the_bowl_inside': lambda world: [
        OpenDrawer(world, CABINET, 'top'),
    ],
    'push_the_plate_to_the_front_of_the_stove': lambda world: [
        Drag(world, PLATE, 'main_table_stove_front_region', STOVE, ROUND_CHEESE)
    ],
    'turn_on_the_stove': lambda world: [TurnOn(world, STOVE)],
}
