# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Push a drawer shut with the closed hand.

The hand leans, its narrow side up, lest it meet the table and the drawer above. It comes down
before the handle, and what was inside the drawer rises and comes out first. Knows no task.
"""

import numpy as np

from recipes.libero.fixtures import Drawer
from recipes.libero.grasps import quarter_turn
from recipes.libero.pick_place import funnel
from recipes.libero.pick_place import TURNED
from recipes.libero.world import Aims
from recipes.libero.world import World

LEANING = np.radians(40)  # from straight down: what stands behind the hand is near
RUN = 0.05  # m before the handle, where the hand comes down
OVER = 0.14  # m over the handle, where it comes from
RISEN = 0.1  # m over the handle, where the hand closes that comes out of the drawer
LOW = 0.015  # m from the handle's height where the push begins
BESIDE = 0.015  # m beside the handle, where it begins
PUSH = 0.03  # m ahead


class CloseDrawer:
    """Push a drawer shut."""

    def __init__(self, world: World, cabinet: str, level: str) -> None:
        """Name the drawer; level: 'top', 'middle' or 'bottom'."""
        self.world, self.cabinet = world, cabinet
        self.drawer = Drawer(world, cabinet, level)
        self._goal = ['close', f'{cabinet}_{level}_region']

    def done(self) -> bool:
        """Say whether the suite calls it closed."""
        return bool(self.world.env._eval_predicate(self._goal))

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world, bar, out = self.world, self.drawer.handle, self.drawer.out
        ahead = float((world.hand - bar) @ out)
        low = np.clip(2 - abs(world.hand[2] - bar[2]) / LOW, 0, 1)
        before = low * np.clip(ahead, 0, RUN) + (1 - low) * RUN
        outside = np.clip(ahead / RUN, 0, 1)
        outside = max(outside, low * np.clip(ahead / 0.005, 0, 1))
        pointing = np.array([*(-np.sin(LEANING * outside) * out[:2]), -np.cos(LEANING * outside)])
        turn = outside * quarter_turn(world, np.array([-out[1], out[0]]))
        start = bar + before * out
        off = float(np.linalg.norm((start - world.hand)[:2]))
        off = max(off, TURNED * (abs(turn) + world.tilted(pointing)))
        share = low * np.clip(2 - off / BESIDE, 0, 1)
        goal = funnel(world.hand, start, off, OVER)
        inside = ahead < 0 and world.hand[2] - bar[2] < RISEN  # what was let go stays there
        return world.command(goal - share * PUSH * out, turn, float(inside), pointing)

    def aims(self) -> Aims:
        """Return the handle."""
        return Aims(self.cabinet, None, np.stack([self.drawer.handle, np.full(3, np.nan)]))
