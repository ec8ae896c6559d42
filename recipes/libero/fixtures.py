# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Open and close drawers, turn a stove's knob.

A drawer is opened by its handle: the hand lies flat, takes the bar from the front between one
finger above and one below, and draws back. Knows no task.
"""

import numpy as np

from recipes.libero.pick_place import AT_HEIGHT
from recipes.libero.pick_place import CLOSE
from recipes.libero.pick_place import funnel
from recipes.libero.pick_place import TURNED
from recipes.libero.world import Aims
from recipes.libero.world import World

LEVELS = ('top', 'middle', 'bottom')
OPEN = 0.142  # m: the suites' own measure is 0.14
DRAWN = 0.18  # m, what the hand draws towards: a little past the end
FLAT = np.radians(80)  # from straight down: a neighbouring handle and the table are kept clear of
BEFORE = 0.09  # m before the handle where the hand may come to from any side
BAR = (0.010, 0.032)  # m between fingers that hold a handle
SLIPPED = 0.03  # m of a held handle from where the fingers close


class OpenDrawer:
    """Draw a cabinet's drawer open."""

    def __init__(self, world: World, cabinet: str, level: str) -> None:
        """Name the drawer; level: 'top', 'middle' or 'bottom'."""
        self.world, self.cabinet = world, cabinet
        self.drawer = Drawer(world, cabinet, level)
        out = self.drawer.out
        self._pointing = np.array([*(-np.sin(FLAT) * out[:2]), -np.cos(FLAT)])

    def done(self) -> bool:
        """Say whether it is open."""
        return self.drawer.opening > OPEN

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world, bar, out = self.world, self.drawer.handle, self.drawer.out
        way = bar - world.hand
        along = way @ out
        beside = way - along * out
        turned = world.tilted(self._pointing)
        off = max(float(np.linalg.norm(beside)), TURNED * turned)
        least, most = BAR
        if least < world.opening < most and np.linalg.norm(way) < SLIPPED:
            goal = bar + out * (DRAWN - self.drawer.opening)
            return world.command(goal, 0.0, 0.0, self._pointing)
        if off < CLOSE and abs(along) < AT_HEIGHT:
            gripper = 1.0 if world.opening < least else 0.0
            return world.command(world.hand, 0.0, gripper, self._pointing)
        goal = funnel(world.hand, bar, off, BEFORE, out)
        return world.command(goal, 0.0, 1.0, self._pointing)

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
