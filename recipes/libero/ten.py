# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-10: tasks of two things to do."""

from collections.abc import Callable

import numpy as np

from recipes.libero.grasps import PointGrasp
from recipes.libero.pick_place import BodyGrasp
from recipes.libero.placing import Put
from recipes.libero.placing import Spot
from recipes.libero.world import Stage
from recipes.libero.world import World

BASKET, INSIDE = 'basket_1', 'basket_1_contain_region'
WALL = 0.146  # m, of the basket over its origin
DROP = 0.04  # m over the wall, from where things may fall
BESIDE = 0.025  # m from the basket's middle in x and y: it takes two, in opposite corners
PUDDING_RIGHT = 0.125  # m from the plate in y: clear of its rim


def stages(task_name: str, world: World) -> list[Stage]:
    """Return a task's stages; raises KeyError for one without an expert."""
    name = next((name for name in STAGES if task_name.endswith(name)), task_name)
    return STAGES[name](world)


def _into_basket(first: str, second: str) -> Callable[[World], list[Stage]]:
    def stage(world: World, target: str, aside: float) -> Stage:
        def spot() -> Spot:
            point = world.position(BASKET) + [aside, aside, WALL]
            return Spot(point, 0.02, DROP, point[2] + 0.03)

        grasp = BodyGrasp(world, target, spared=(BASKET,))
        return Put(world, grasp, ('in', target, INSIDE), BASKET, spot)

    return lambda world: [stage(world, first, -BESIDE), stage(world, second, BESIDE)]


def _mug_on_plate(world: World, mug: str, plate: str) -> Stage:
    def spot() -> Spot:
        low, high = world.bounds(mug)
        middle = (low + high) / 2
        # the suite measures from the mug's origin, which isn't under its middle
        aside = (world.position(mug) - middle)[:2] / 2
        x, y, z = world.position(plate)
        return Spot(np.array([x + aside[0], y + aside[1], z + 0.006]), 0.012, 0.008, z + 0.07)

    return Put(world, PointGrasp(world, mug), ('on', mug, plate), plate, spot)


def _pudding(world: World) -> Stage:
    target, plate = 'chocolate_pudding_1', 'plate_1'

    def spot() -> Spot:
        x, y, _ = world.site('living_room_table_plate_right_region')
        y = max(y, min(world.position(plate)[1] + 0.11, y + 0.035))
        point = np.array([x, y, world.table])
        return Spot(point, 0.012, 0.008, point[2] + 0.07)

    goal = ('on', target, 'living_room_table_plate_right_region')
    return Put(world, BodyGrasp(world, target), goal, plate, spot)


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
    'put_the_white_mug_on_the_left_plate_and_put_the_yellow_and_white_mug_on_the_right_plate': (
        lambda world: [
            _mug_on_plate(world, 'porcelain_mug_1', 'plate_1'),
            _mug_on_plate(world, 'white_yellow_mug_1', 'plate_2'),
        ]
    ),
    'put_the_white_mug_on_the_plate_and_put_the_chocolate_pudding_to_the_right_of_the_plate': (
        lambda world: [_mug_on_plate(world, 'porcelain_mug_1', 'plate_1'), _pudding(world)]
    ),
}
