# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-10: tasks of two things to do."""

from collections.abc import Callable

import numpy as np

from recipes.libero.closing import CloseDrawer
from recipes.libero.grasps import KnobGrasp
from recipes.libero.grasps import PointGrasp
from recipes.libero.microwave import CloseDoor
from recipes.libero.microwave import PutInside
from recipes.libero.pick_place import BodyGrasp
from recipes.libero.pick_place import RimGrasp
from recipes.libero.placing import Put
from recipes.libero.placing import Spot
from recipes.libero.pushing import TurnOn
from recipes.libero.world import Stage
from recipes.libero.world import World

BASKET, INSIDE = 'basket_1', 'basket_1_contain_region'
WALL = 0.146  # m, of the basket over its origin
DROP = 0.04  # m over the wall, from where things may fall
BESIDE = 0.025  # m from the basket's middle in x and y: it takes two, in opposite corners
CABINET, DRAWER = 'white_cabinet_1', 'white_cabinet_1_bottom_region'
BOWL_SIDE = np.radians(-20)  # the palm is clear of the wine rack, then of the drawers above
STOVE, PLATE_ON = 'flat_stove_1', 0.026  # m, of the stove's plate over its region
OVER_POTS = 0.27  # m over the table, where the hand is clear of a pot on the stove
ON_KNOB = 0.005  # m: a knob is small
POT_BESIDE = 0.048  # m from the plate's middle in x, of each of two pots
CADDY = 'desk_caddy_1'


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


def _pot_on_stove(world: World, pot: str, aside: float = 0.0) -> Stage:
    region = f'{STOVE}_cook_region'

    def spot() -> Spot:
        point = world.site(region) + [aside, 0, PLATE_ON]
        return Spot(point, 0.012, 0.008, point[2] + 0.05)

    return Put(world, KnobGrasp(world, pot), ('on', pot, region), STOVE, spot, OVER_POTS, ON_KNOB)


def _bowl_in_drawer(world: World) -> list[Stage]:
    bowl = 'akita_black_bowl_1'

    def spot() -> Spot:
        # in the drawer's front: the drawers above have handles
        point = world.site(DRAWER) + [-0.008, -0.022, -0.02]
        return Spot(point, 0.02, 0.03, point[2] + 0.09)

    grasp = RimGrasp(world, bowl, BOWL_SIDE)
    put = Put(world, grasp, ('in', bowl, DRAWER), CABINET, spot)
    return [put, CloseDrawer(world, CABINET, 'bottom')]


def _book(world: World) -> list[Stage]:
    book, region = 'black_book_1', f'{CADDY}_back_contain_region'

    def spot() -> Spot:
        low, high = world.bounds(book)
        aside = (world.position(book) - (low + high) / 2)[:2]
        x, y, _ = world.site(region)
        point = np.array([x + aside[0], y + aside[1], world.position(CADDY)[2] + 0.016])
        return Spot(point, 0.014, 0.03, world.position(CADDY)[2] + 0.19, np.array([1.0, 0.0]))

    return [Put(world, BodyGrasp(world, book), ('in', book, region), CADDY, spot)]


class KeepOn(TurnOn):
    """Turn a stove's knob only where it is off: it starts barely on."""

    def done(self) -> bool:
        """Say whether the suite calls it on."""
        return bool(self.world.env._eval_predicate(['turnon', self.stove]))


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
    'turn_on_the_stove_and_put_the_moka_pot_on_it': lambda world: [
        TurnOn(world, STOVE),
        _pot_on_stove(world, 'moka_pot_1'),
    ],
    'put_both_moka_pots_on_the_stove': lambda world: [
        KeepOn(world, STOVE),
        _pot_on_stove(world, 'moka_pot_1', -POT_BESIDE),
        _pot_on_stove(world, 'moka_pot_2', POT_BESIDE),
    ],
    'put_the_black_bowl_in_the_bottom_drawer_of_the_cabinet_and_close_it': _bowl_in_drawer,
    'pick_up_the_book_and_place_it_in_the_back_compartment_of_the_caddy': _book,
    'put_the_yellow_and_white_mug_in_the_microwave_and_close_it': lambda world: [
        PutInside(world, 'white_yellow_mug_1', 'microwave_1'),
        CloseDoor(world, 'microwave_1'),
    ],
}
