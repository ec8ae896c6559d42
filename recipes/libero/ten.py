# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-10: tasks of two things to do."""

from collections.abc import Callable

import numpy as np

from recipes.libero.pick_place import BodyGrasp
from recipes.libero.placing import Put
from recipes.libero.placing import Spot
from recipes.libero.world import Stage
from recipes.libero.world import World

BASKET, INSIDE = 'basket_1', 'basket_1_contain_region'
WALL = 0.146  # m, of the basket over its origin
DROP = 0.04  # m over the wall, from where things may fall
BESIDE = 0.025  # m from the basket's middle in x and y: it takes two, in opposite corners


def stages(task_name: str, world: World) -> list[Stage]:
    """Return a task's stages; raises KeyError for one without an expert."""
    return STAGES[task_name.split('_', 3 if 'LIVING_ROOM' in task_name else 2)[-1]](world)


def _into_basket(first: str, second: str) -> Callable[[World], list[Stage]]:
    def stage(world: World, target: str, aside: float) -> Stage:
        def spot() -> Spot:
            point = world.position(BASKET) + [aside, aside, WALL]
            return Spot(point, 0.02, DROP, point[2] + 0.03)

        grasp = BodyGrasp(world, target, spared=(BASKET,))
        return Put(world, grasp, ('in', target, INSIDE), BASKET, spot)

    return lambda world: [stage(world, first, -BESIDE), stage(world, second, BESIDE)]


STAGES: dict[str, Callable[[World], list[Stage]]] = {
    'put_both_the_alphabet_soup_and_the_tomato_sauce_in_the_basket': _into_basket(
        'alphabet_soup_1', 'tomato_sauce_1'
    ),
    'put_both_the_cream_cheese_box_and_the_butter_in_the_basket': _into_basket(
        'cream_cheese_1', 'butter_1'
    ),
    'put_both_the_alphabet_soup_and_the_cream_cheese_box_in_the_basket': _into_basket(
        'alphabet_soup_1', 'cream_cheese_1'
    ),
}
