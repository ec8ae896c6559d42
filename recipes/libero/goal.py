# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Goal: ten things to do with the same things on the table."""

from collections.abc import Callable

import numpy as np

from recipes.libero.fixtures import Drawer
from recipes.libero.fixtures import OpenDrawer
from recipes.libero.pick_place import BodyGrasp
from recipes.libero.pick_place import PickPlace
from recipes.libero.pick_place import Place
from recipes.libero.pick_place import RimGrasp
from recipes.libero.placing import NEAR
from recipes.libero.placing import Put
from recipes.libero.placing import Spot
from recipes.libero.pushing import Drag
from recipes.libero.pushing import TurnOn
from recipes.libero.world import Stage
from recipes.libero.world import World

CABINET, STOVE, RACK = 'wooden_cabinet_1', 'flat_stove_1', 'wine_rack_1'
BOWL, PLATE, CHEESE, BOTTLE = 'akita_black_bowl_1', 'plate_1', 'cream_cheese_1', 'wine_bottle_1'
STOVE_FRONT, BURNER = 'main_table_stove_front_region', 'flat_stove_1_cook_region'
CABINET_TOP, TOP_DRAWER = 'wooden_cabinet_1_top_side', 'wooden_cabinet_1_top_region'
RACK_TOP = 'wine_rack_1_top_region'
ROUND_CHEESE = np.array([[0.1, 0.0, 0.0], [0.01, 0.018, 0.0]])  # m, the plate's way to the stove
OVER = 0.03  # m, of an object over what it is carried to
PLATE_RIM = 0.012  # m, of the plate over where the bowl comes to stand
BURNER_TOP = 0.027  # m, over its region's middle
CABINET_NEAR = np.array([-0.065, 0.045, 0.001])  # m, from the middle of its top: not farther
DRAWER_NEAR = np.array([-0.03, 0.01, -0.025])  # m, from the middle of an open drawer
WIDE = 0.128  # m, of the top drawer: the bowl goes in
DRAWER_WALL = 0.032  # m, over the middle of a drawer
RACK_LIP = np.array([0.0, -0.012, 0.012])  # m, from the region's middle, where a bottle stands
ASIDE = np.array([-0.115, 0.09])  # m, where the bowl is out of the way of an open drawer
NEVER = -1.0  # m over a spot where an object is let go: below the table
TOO_LATE = 0.05  # m that the drawer is open
FREE, OUT = (0.03, 0.06), 0.06  # m between the fingers, as they let go of the bowl; m up then
UNDER = 0.065  # m, in y: the bowl's middle is under an open drawer, or too near for the hand


def stages(task_name: str, world: World) -> list[Stage]:
    """Return a task's stages; raises KeyError for an unknown one."""
    return TASKS[task_name](world)


def _put(world: World, target: str, destination: str, region: str, spot: Callable) -> Put:
    """Return the stage that puts something on a region; spot: returns where, near and above."""
    grasp = RimGrasp(world, target) if target == BOWL else BodyGrasp(world, target)

    def where() -> Spot:
        point, near, above = spot()
        return Spot(point, near, above, point[2] + OVER)

    return Put(world, grasp, ('on', target, region), destination, where)


def _onto_plate(world: World) -> list[Stage]:
    def spot() -> tuple[np.ndarray, float, float]:
        top = world.bounds(PLATE)[1][2] - PLATE_RIM
        return np.array([*world.position(PLATE)[:2], top]), 0.012, 0.012

    return [_put(world, BOWL, PLATE, PLATE, spot)]


def _onto_stove(world: World) -> list[Stage]:
    def spot() -> tuple[np.ndarray, float, float]:
        return world.site(BURNER) + [0, 0, BURNER_TOP], 0.02, 0.008

    return [_put(world, BOWL, STOVE, BURNER, spot)]


def _onto_cabinet(world: World, target: str) -> list[Stage]:
    def spot() -> tuple[np.ndarray, float, float]:
        return world.site(CABINET_TOP) + CABINET_NEAR, 0.02, 0.006

    return [_put(world, target, CABINET, CABINET_TOP, spot)]


def _into_bowl(world: World) -> list[Stage]:
    def spot() -> tuple[np.ndarray, float, float]:
        high = world.bounds(BOWL)[1][2]
        return np.array([*world.position(BOWL)[:2], high]), 0.012, 0.008

    return [_put(world, CHEESE, BOWL, BOWL, spot)]


def _onto_rack(world: World) -> list[Stage]:
    def spot() -> tuple[np.ndarray, float, float]:
        return world.site(RACK_TOP) + RACK_LIP, 0.012, 0.006

    return [_put(world, BOTTLE, RACK, RACK_TOP, spot)]


def _into_drawer(world: World) -> list[Stage]:
    def spot() -> Spot:
        middle, low = world.site(TOP_DRAWER), world.bounds(BOWL)[0][2]
        if low < middle[2] - DRAWER_WALL and world.position(BOWL)[1] < UNDER:  # it would be caught
            return Spot(np.array([*ASIDE, world.table + OVER]), 0.02, NEVER, world.table + OVER)
        return Spot(middle + DRAWER_NEAR, 0.02, OVER, middle[2] + DRAWER_WALL + OVER)

    put = Put(world, RimGrasp(world, BOWL), ('in', BOWL, TOP_DRAWER), CABINET, spot)
    return [Aside(world), OpenDrawer(world, CABINET, 'top', WIDE), put]


class Aside(PickPlace):
    """Move the bowl from under the drawer before that is opened: no hand could take it there."""

    def __init__(self, world: World) -> None:
        """Lay out the stage."""
        self._drawer = Drawer(world, CABINET, 'top')

        def place() -> Place:
            return Place(np.array([*ASIDE, world.table]), OVER)

        super().__init__(world, RimGrasp(world, BOWL), PLATE, place)

    def done(self) -> bool:
        """Say whether the hand could take it under an open drawer, or it's too late."""
        return self._drawer.opening > TOO_LATE or (self._clear() and not self._in_bowl())

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        if not self._clear():
            return super().action()
        closed, free = FREE
        share = np.clip((self.world.opening - closed) / (free - closed), 0, 1)  # let go first
        return self.world.command(self.world.hand + [0, 0, share * OUT], 0.0, 1.0)

    def _clear(self) -> bool:
        return self.world.position(BOWL)[1] > UNDER and not self.grasp.held()

    def _in_bowl(self) -> bool:
        """Say whether a hand that moves on would take the bowl with it."""
        low, high = self.world.bounds(BOWL)
        hand = self.world.hand
        return bool(((low - NEAR < hand) & (hand < high + NEAR)).all())


TASKS: dict[str, Callable[[World], list[Stage]]] = {
    'open_the_middle_drawer_of_the_cabinet': lambda world: [OpenDrawer(world, CABINET, 'middle')],
    'open_the_top_drawer_and_put_the_bowl_inside': _into_drawer,
    'push_the_plate_to_the_front_of_the_stove': lambda world: [
        Drag(world, PLATE, STOVE_FRONT, STOVE, *ROUND_CHEESE)
    ],
    'put_the_bowl_on_the_plate': _onto_plate,
    'put_the_bowl_on_the_stove': _onto_stove,
    'put_the_bowl_on_top_of_the_cabinet': lambda world: _onto_cabinet(world, BOWL),
    'put_the_cream_cheese_in_the_bowl': _into_bowl,
    'put_the_wine_bottle_on_the_rack': _onto_rack,
    'put_the_wine_bottle_on_top_of_the_cabinet': lambda world: _onto_cabinet(world, BOTTLE),
    'turn_on_the_stove': lambda world: [TurnOn(world, STOVE)],
}
