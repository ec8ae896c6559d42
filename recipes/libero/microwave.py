# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put a mug into the microwave from the front and push its door shut.

The mug is held by its handle by a hand that slants, whose palm stays outside. The door is swept
shut by the closed hand from behind. Knows no task.
"""

import numpy as np

from recipes.libero.grasps import HandleGrasp
from recipes.libero.grasps import SLANT
from recipes.libero.grasps import slanting
from recipes.libero.grasps import turned
from recipes.libero.pick_place import funnel
from recipes.libero.placing import Put
from recipes.libero.placing import Spot
from recipes.libero.pushing import sweep
from recipes.libero.world import Aims
from recipes.libero.world import ANGLE_UNIT
from recipes.libero.world import DOWN
from recipes.libero.world import GAIN
from recipes.libero.world import MOST
from recipes.libero.world import World

FRONT = np.array([0.0, -1.0, 0.0])  # the way out of the microwave
ACROSS = np.array([1.0, 0.0, 0.0])  # where the fingers close along
FLOOR = 0.024  # m, of its inside over its origin
MIDDLE = np.array([-0.041, -0.01])  # m, of where a mug shall stand, from its origin
CARRIED = 0.008  # m over the floor
IN_FRONT = 0.3  # m, how far before the spot the mug waits until it is level with it
REACH = 0.15  # m from the hinge, where the door is pushed: the handle is further out
FACE = 0.037  # m from the hinge to the outer face and half of the fingers
HIGH = 0.059  # m over the hinge, where the door is pushed: the palm is above it
HOVER, LOW, BESIDE = 0.12, 0.015, 0.01  # m; see `sweep`
BACK = np.array([0.0, -0.06, 0.0])  # m, of a step out of the mug and the microwave
OUT = (0.11, 0.07)  # m before the microwave's origin: the hand has come out, and must still
AJAR = (0.8, 1.2)  # rad, of a door that nothing has begun to close
TOP = (0.2, 0.24)  # m over the microwave's origin: the hand isn't inside


class PutInside(Put):
    """Put a mug into the microwave."""

    def __init__(self, world: World, mug: str, microwave: str) -> None:
        """Name both."""

        def spot() -> Spot:
            x, y, z = world.position(microwave)
            point = np.array([x + MIDDLE[0], y + MIDDLE[1], z + FLOOR + CARRIED])
            return Spot(point, 0.02, 0.02, point[2])

        goal = ('in', mug, f'{microwave}_heating_region')
        super().__init__(world, HandleGrasp(world, mug), goal, microwave, spot)

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        action = super().action()
        held = self.grasp.held()  # then the mug turns with the hand
        frame = slanting(-FRONT, ACROSS) if held else self.grasp.frame()
        rotate = GAIN * turned(self.world, frame) / ANGLE_UNIT
        action[3:6] = rotate / max(1.0, np.abs(rotate).max() / (MOST / 2))
        return action

    def _carry(self, spot: Spot, way: np.ndarray, turn: float) -> np.ndarray:
        hand = self.world.hand
        off = 2 * float(np.hypot(way[0], way[2]))
        goal = funnel(hand, hand + way, off, IN_FRONT, FRONT)
        return self.world.command(goal, 0.0, 0.0)


class CloseDoor:
    """Push a microwave's door shut."""

    def __init__(self, world: World, microwave: str) -> None:
        """Name the microwave."""
        self.world, self.microwave = world, microwave
        self._joint = world.model.joint(world.env.get_object(microwave).joints[0]).id

    def done(self) -> bool:
        """Say whether the suite calls it closed."""
        return bool(self.world.env._eval_predicate(['close', self.microwave]))

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world = self.world
        goal = sweep(world, *self._touch(), HOVER, LOW, BESIDE)
        inside = self._inside()
        goal += inside * (world.hand + BACK - goal)
        return world.command(goal, 0.0, inside, _slanted(inside))

    def aims(self) -> Aims:
        """Return where the door is pushed."""
        return Aims(self.microwave, None, np.stack([self._touch()[0], np.full(3, np.nan)]))

    def _inside(self) -> float:
        """Return whether the hand must first come out, 0 to 1."""
        world = self.world
        hand = world.hand - world.position(self.microwave)
        deep = np.clip((hand[1] + OUT[0]) / (OUT[0] - OUT[1]), 0, 1)
        below = np.clip((TOP[1] - hand[2]) / (TOP[1] - TOP[0]), 0, 1)
        ajar = np.clip((-world.joint(self.microwave) - AJAR[0]) / (AJAR[1] - AJAR[0]), 0, 1)
        return float(deep * below * ajar * (hand[0] > -0.17))

    def _touch(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the fingers touch the door [3], m, and the direction they push in [3]."""
        angle = self.world.joint(self.microwave)
        door = np.array([np.cos(angle), np.sin(angle), 0])
        ahead = np.array([-door[1], door[0], 0])
        hinge = self.world.data.xanchor[self._joint]
        return hinge + REACH * door - FACE * ahead + [0, 0, HIGH], ahead


def _slanted(share: float) -> np.ndarray:
    """Return where the fingers point [3]: down, or at a share of one, into the microwave."""
    return -np.sin(SLANT * share) * FRONT + np.cos(SLANT * share) * DOWN
