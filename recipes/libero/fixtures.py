# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Open drawers.

A drawer is opened by its handle: the hand lies flat, takes the bar from the front between one
finger above and one below, and draws back. Knows no task.
"""

import numpy as np

from recipes.libero.pick_place import ALIGNED
from recipes.libero.pick_place import AT_HEIGHT
from recipes.libero.pick_place import CLOSE
from recipes.libero.pick_place import CLOSING
from recipes.libero.pick_place import funnel
from recipes.libero.pick_place import SHUT
from recipes.libero.pick_place import TURNED
from recipes.libero.world import Aims
from recipes.libero.world import CLOSED
from recipes.libero.world import World

OPEN = 0.142  # m: the suites' own measure is 0.14
DRAWN = 0.18  # m, what the hand draws towards: a little past the end
FLAT = np.radians(80)  # from straight down: a neighbouring handle and the table are kept clear of
LEVEL = np.radians(15)  # from there: near enough, where the stretched arm turns the hand no more
BEFORE = 0.09  # m before the handle where the hand may come to from any side
DEEP = 0.006  # m, of the bar behind the fingers' site
BAR = (0.010, 0.023)  # m between fingers that hold a handle
LEFT = 0.05  # m from the handle: the hand has left it
SLIPPED = 0.016  # m from where it was taken, of a handle that is no longer held


class OpenDrawer:
    """Draw a cabinet's drawer open."""

    def __init__(self, world: World, cabinet: str, level: str, enough: float = OPEN) -> None:
        """
        Name the drawer.

        level: 'top', 'middle' or 'bottom'. enough: m that it may be open when it's let go of, lest
        a hand that bumps into it later comes back for it.
        """
        self.world, self.cabinet, self._enough = world, cabinet, enough
        self.drawer = Drawer(world, cabinet, level)
        out = self.drawer.out
        self._pointing = np.array([*(-np.sin(FLAT) * out[:2]), -np.cos(FLAT)])

    def done(self) -> bool:
        """Say whether it is open."""
        near = np.linalg.norm(self.world.hand - self.drawer.handle) < LEFT
        return self.drawer.opening > (OPEN if near else self._enough)

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world, out, pointing = self.world, self.drawer.out, self._pointing
        point = self.drawer.handle - DEEP * out
        way = point - world.hand
        along = abs(way @ out)
        beside = float(np.linalg.norm(way - (way @ out) * out))
        off = max(beside, TURNED * (world.tilted(pointing) - LEVEL))
        least, most = BAR
        if least < world.opening < most and along < SLIPPED and beside < SLIPPED:
            goal = point + (DRAWN - self.drawer.opening) * out
            return world.command(goal, 0.0, 0.0, pointing)
        slack = 1.0 if world.opening > CLOSED else CLOSING  # what has begun to close goes on
        if off < slack * CLOSE and along < slack * AT_HEIGHT and world.opening > least:
            return world.command(point, 0.0, 0.0, pointing)
        off = max(off, ALIGNED + SHUT * (CLOSED - world.opening))  # a shut hand opens before it
        goal = funnel(world.hand, point, off, BEFORE, out)
        return world.command(goal, 0.0, 1.0, pointing)

    def aims(self) -> Aims:
        """Return the handle."""
        return Aims(self.cabinet, None, np.stack([self.drawer.handle, np.full(3, np.nan)]))


class Drawer:
    """One drawer of a cabinet."""

    def __init__(self, world: World, cabinet: str, level: str) -> None:
        """Find its joint and its handle."""
        self.world = world
        model = world.model
        self._joint = model.joint(f'{cabinet}_{level}_level').id
        body = model.jnt_bodyid[self._joint]
        mine = [g for g in range(model.ngeom) if model.geom_bodyid[g] == body]
        self._geoms = [g for g in mine if model.geom_contype[g]]
        reach = [world.data.geom_xpos[g] @ self.out for g in self._geoms]
        self._bar = self._geoms[int(np.argmax(reach))]

    @property
    def out(self) -> np.ndarray:
        """Return the direction [3] in which it opens."""
        return -self.world.data.xaxis[self._joint]

    @property
    def opening(self) -> float:
        """Return how far it is open, m."""
        return -float(self.world.data.qpos[self.world.model.jnt_qposadr[self._joint]])

    @property
    def handle(self) -> np.ndarray:
        """Return the middle of the handle's bar [3], m."""
        return self.world.data.geom_xpos[self._bar]
