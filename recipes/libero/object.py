# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Object: "pick up the X and place it in the basket"."""

import numpy as np

from recipes.libero.pick_place import approach
from recipes.libero.pick_place import BodyGrasp
from recipes.libero.world import Aims
from recipes.libero.world import Stage
from recipes.libero.world import World

BASKET = 'basket_1'
RIM = 0.17  # m, from the basket's origin to what an object must be above on its way
CLEAR = 0.2  # m, the same for where it is lifted to
OVER_BASKET = 0.03  # m, how near the basket's middle an object is let go
IN_BASKET = 0.06  # m, how near it stays


def stages(task_name: str, world: World) -> list[Stage]:
    """Return the one stage of every task."""
    (target,) = (name for name in world.env.obj_of_interest if name != BASKET)
    return [IntoBasket(world, target)]


class IntoBasket:
    """Lift an object over the basket's rim and let it drop."""

    def __init__(self, world: World, target: str, basket: str = BASKET) -> None:
        """Name what to put into what."""
        self.world, self.target, self.basket = world, target, basket
        self.grasp = BodyGrasp(world, target, spared=(basket,))

    def done(self) -> bool:
        """Say whether it is in the basket, or falls into it."""
        return self._beside() < IN_BASKET and not self._carried()

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        if not self._carried():
            return approach(self.world, self.grasp.hold())
        low, high = self.world.bounds(self.target)
        basket, goal = self.world.position(self.basket), self.world.hand.copy()
        goal[2] += basket[2] + CLEAR - low[2]
        if low[2] > basket[2] + RIM:
            goal[:2] += (basket - (low + high) / 2)[:2]
        return self.world.command(goal, 0.0, 0.0)

    def aims(self) -> Aims:
        """Return the object's grasp, and the basket's middle."""
        points = np.stack([self.grasp.hold().point, self.world.position(self.basket)])
        return Aims(self.target, self.basket, points)

    def _carried(self) -> bool:
        return self._beside() > OVER_BASKET and self.grasp.held()

    def _beside(self) -> float:
        """Return how far the object is from the basket's middle in x or y, m."""
        low, high = self.world.bounds(self.target)
        return float(np.abs((low + high) / 2 - self.world.position(self.basket))[:2].max())
