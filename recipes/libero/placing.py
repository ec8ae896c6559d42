# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put an object where it belongs in tasks of more than one thing to do.

The hand travels above what stands about, and an object counts as put when the suite says that it
lies there and the fingers are off it: only then may the hand go on to the next. Knows no task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from recipes.libero.pick_place import approach
from recipes.libero.pick_place import CLOSE
from recipes.libero.pick_place import FUNNEL
from recipes.libero.pick_place import Grasp
from recipes.libero.pick_place import TURNED
from recipes.libero.world import Aims
from recipes.libero.world import CLOSED
from recipes.libero.world import World

OFF = 0.066  # m between the fingers: they are off an object
NEAR = 0.03  # m, around an object's box, where a hand that isn't open may hold it
SLOPE = 0.03  # m below the way's height where moving sideways slows, and stops at twice that
HOVER = 0.2  # m over the table, where the hand comes from; more where tall things stand


@dataclass(frozen=True)
class Spot:
    """
    Say where an object shall be let go.

    point: [3], m, of its origin in x and y, of its lowest point in z. near: m, beside the point in
    x and y. above: m, over the point. travel: m, height in the world that its lowest point has on
    its way. across: where the fingers close along, x and y, if that matters.
    """

    point: np.ndarray
    near: float
    above: float
    travel: float
    across: np.ndarray | None = None


class Put:
    """Take an object, carry it, let it go at a spot."""

    def __init__(
        self,
        world: World,
        grasp: Grasp,
        goal: tuple[str, str, str],
        destination: str,
        spot: Callable[[], Spot],
        hover: float = HOVER,
        tight: float = CLOSE,
    ) -> None:
        """
        Lay out the stage.

        goal: the suite's predicate, such as 'in', the object and the region. spot: returns where
        to let go in the present state. hover: m over the table, where the hand comes from.
        tight: m beside the grasp, where the fingers begin to close.
        """
        self.world, self.grasp, self.goal = world, grasp, goal
        self.destination, self.spot = destination, spot
        self.hover, self.tight = hover, tight

    def done(self) -> bool:
        """Say whether the object is where it belongs, and let go of."""
        return bool(self.world.env._eval_predicate(list(self.goal))) and not self._fingers_on()

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world, spot = self.world, self.spot()
        way, turn = self._way(spot)
        beside = np.abs(way[:2]).max()
        if beside < spot.near and -way[2] < spot.above and self._fingers_on():
            return world.command(world.hand, 0.0, 1.0, self.grasp.hold().pointing)
        if self.grasp.held():
            return self._carry(spot, way, turn)
        hold = self.grasp.hold()
        hover = max(hold.hover, world.table + self.hover - hold.point[2])
        action = approach(world, replace(hold, hover=hover))
        beside = np.linalg.norm((hold.point - world.hand)[:2])
        if world.opening > CLOSED and beside > self.tight:
            action[6] = 1.0
        return action

    def aims(self) -> Aims:
        """Return the object's grasp, and the spot."""
        points = np.stack([self.grasp.hold().point, self.spot().point])
        return Aims(self.grasp.target, self.destination, points)

    def _carry(self, spot: Spot, way: np.ndarray, turn: float) -> np.ndarray:
        world = self.world
        off = max(float(np.linalg.norm(way[:2])), TURNED * abs(turn))
        highest = max(0.0, spot.travel - spot.point[2])
        up = way[2] + np.clip(FUNNEL * (off - spot.near / 2), 0, highest)
        sideways = np.clip(2 - up / SLOPE, 0, 1)
        goal = world.hand + [*(sideways * way[:2]), up]
        return world.command(goal, sideways * turn, 0.0, self.grasp.hold().pointing)

    def _way(self, spot: Spot) -> tuple[np.ndarray, float]:
        """Return how far an object is from its spot [3], m, and about z, rad."""
        target = self.grasp.target
        at = [*self.world.position(target)[:2], self.world.bounds(target)[0][2]]
        turn = 0.0 if spot.across is None else self.world.turn(spot.across)
        return spot.point - at, turn

    def _fingers_on(self) -> bool:
        low, high = self.world.bounds(self.grasp.target)
        hand = self.world.hand
        near = bool(((low - NEAR < hand) & (hand < high + NEAR)).all())
        return near and self.world.opening < OFF
