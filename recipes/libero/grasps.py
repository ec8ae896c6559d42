# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take hold of mugs, by the rim across from the handle or by it, and of moka pots, by the knob.

All are wider than the hand opens. The point to take is one of the object's own frame, so that the
hand turns with the object and takes it the same way each time.
"""

import numpy as np

from recipes.libero.pick_place import Hold
from recipes.libero.pick_place import HOVER
from recipes.libero.pick_place import LIFTED
from recipes.libero.pick_place import NOTHING
from recipes.libero.world import DOWN
from recipes.libero.world import World

# m, in the object's frame: middle of the rim across from the handle, or of the knob
POINTS = {
    'porcelain_mug': (0.0565, 0.0, 0.096),
    'white_yellow_mug': (-0.0675, 0.0, 0.091),
    'moka_pot': (0.0, -0.001, 0.076),
}
NEAR = 0.02  # m, of the hand from the point when it has it
THICK = 0.03  # m, at most, between fingers that hold a rim, a knob or a handle
HANDLE = (0.058, 0.0, 0.056)  # m, in the frame of the yellow and white mug
SLANT, SLANTED = np.radians(60), 0.12  # rad from straight down, and what may be missing


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


class KnobGrasp(PointGrasp):
    """Take an object at one point, the fingers along the object's y."""

    def _across(self) -> np.ndarray:
        return self.world.rotation(self.target)[:2, 1]


class HandleGrasp(PointGrasp):
    """Take a mug by its handle from behind, to put it into something from the front."""

    def __init__(self, world: World, target: str) -> None:
        """Name the mug."""
        super().__init__(world, target)
        self._local = np.array(HANDLE)

    def hold(self) -> Hold:
        """Return where to close in the present state: higher while the hand isn't turned yet."""
        left = float(np.linalg.norm(turned(self.world, self.frame())))
        point = self._point() + [0, 0, 0.4 * max(0.0, left - SLANTED)]
        return Hold(point, 0.0, HOVER)

    def frame(self) -> np.ndarray:
        """Return how the hand shall be turned [3, 3]."""
        inwards, across, _ = (self.world.rotation(self.target) * [-1, 1, 1]).T
        return slanting(inwards, across)


def slanting(inwards: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return a hand [3, 3] that points down and inwards [3], and closes along across [3]."""
    across = across * [1, 1, 0] / max(float(np.linalg.norm(across[:2])), 1e-6)
    pointing = np.sin(SLANT) * inwards * [1, 1, 0] + np.cos(SLANT) * DOWN
    pointing -= across * (across @ pointing)
    pointing = pointing / np.linalg.norm(pointing)
    return np.stack([across, np.cross(pointing, across), pointing], 1)


def turned(world: World, frame: np.ndarray) -> np.ndarray:
    """Return the rotation vector [3], rad, that the hand is from being turned so [3, 3]."""
    now = world.data.site_xmat[world.robot.eef_site_id].reshape(3, 3)
    left = frame @ now.T
    skew = (left - left.T) / 2
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]])
    sine = np.linalg.norm(axis)
    return axis * (np.arctan2(sine, (np.trace(left) - 1) / 2) / max(sine, 1e-6))


def quarter_turn(world: World, closing: np.ndarray) -> float:
    """Return `World.turn` for a hand that starts at a right angle: always the same way round."""
    return (world.turn(closing) + 0.75 * np.pi) % np.pi - 0.75 * np.pi
