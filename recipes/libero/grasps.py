# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take hold of mugs, by the rim across from the handle, and of moka pots, by the knob on the lid.

Both are wider than the hand opens. The point to take is one of the object's own frame, so that the
hand turns with the object and takes it the same way each time.
"""

import numpy as np

from recipes.libero.pick_place import Hold
from recipes.libero.pick_place import HOVER
from recipes.libero.pick_place import LIFTED
from recipes.libero.pick_place import NOTHING
from recipes.libero.world import World

# m, in the object's frame: middle of the rim across from the handle, or of the knob
POINTS = {
    'porcelain_mug': (0.0565, 0.0, 0.096),
    'white_yellow_mug': (-0.0675, 0.0, 0.091),
    'moka_pot': (0.0, -0.001, 0.076),
}
NEAR = 0.02  # m, of the hand from the point when it has it
THICK = 0.03  # m, at most, between fingers that hold a rim, a knob or a handle


class PointGrasp:
    """Take an object at one point, the fingers along the object's x."""

    def __init__(self, world: World, target: str) -> None:
        """Name a mug or a pot."""
        self.world, self.target = world, target
        self._local = np.array(POINTS[target.rsplit('_', 1)[0]])

    def hold(self) -> Hold:
        """Return where to close in the present state."""
        return Hold(self._point(), self.world.turn(self._across()), HOVER)

    def held(self) -> bool:
        """Say whether the hand has the object."""
        world = self.world
        if np.linalg.norm(world.hand - self._point()) > NEAR:
            return False
        lifted = world.bounds(self.target)[0][2] > world.table + LIFTED
        closed = NOTHING / 2 < world.opening < THICK
        return (lifted and closed) or world.grasped(self.target)

    def _point(self) -> np.ndarray:
        world = self.world
        return world.position(self.target) + world.rotation(self.target) @ self._local

    def _across(self) -> np.ndarray:
        return self.world.rotation(self.target)[:2, 0]


def quarter_turn(world: World, closing: np.ndarray) -> float:
    """Return `World.turn` for a hand that starts at a right angle: always the same way round."""
    return (world.turn(closing) + 0.75 * np.pi) % np.pi - 0.75 * np.pi


class KnobGrasp(PointGrasp):
    """Take an object at one point, the fingers along the object's y."""

    def _across(self) -> np.ndarray:
        return self.world.rotation(self.target)[:2, 1]
