# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Move things with the closed hand: press on a flat one and drag it, turn a stove's knob.

The hand closes, comes down in a funnel to where it begins, and pushes. Knows no task.
"""

import numpy as np

from recipes.libero.pick_place import funnel
from recipes.libero.world import Aims
from recipes.libero.world import World

HOVER = 0.08  # m above where it touches: to come to from any side, and until the hand is closed
LOW = 0.01  # m above where it touches, at which the push begins, gently
TOUCH, KEPT = 0.007, 0.02  # m above: it drags in full; comes down again where it is
STRIDE = 0.025  # m ahead of a plate: no quicker, lest it slip
ON_PLATE = (0.045, 0.06)  # m from a plate's middle: presses in full, no more
BOTTOM = 0.010  # m, of the fingers' site over a plate's origin when they touch it
PRESS = 0.007  # m below
ARRIVED = 0.036  # m, in x and y, from the place: the suite's own measure is 0.04
TURNING = 0.04  # m before the place, across the detour, where it leads in
ON = 0.6  # rad of a knob: the suites' own measure is 0.5
LEVER = 0.033  # m from a knob's axis, where its fin is pushed
FIN = 0.027  # m of a fin over its joint's anchor, where it is pushed
HALF = 0.012 + 0.008  # m, a fin's thickness and the fingers'
RUN_UP = 0.02  # m before what is swept, where the hand may come down
LEANING = np.radians(30)  # from straight down: so near the base, the arm folds no further
BESIDE = 0.008  # m from the fin's line that doesn't count as beside
INWARDS = np.array([-np.sin(LEANING), 0, -np.cos(LEANING)])


class Drag:
    """Press on the middle of a plate and drag it to a place on the table."""

    def __init__(
        self,
        world: World,
        target: str,
        site: str,
        destination: str,
        detour: np.ndarray,
        beyond: np.ndarray,
    ) -> None:
        """
        Name the plate, the region it shall come to and the fixture that stands for it.

        detour: [3] m, along x or y, beside the region, from where it comes in: something else
        may be in the straight way. beyond: [3] m, from the region's middle to where it aims.
        """
        self.world, self.target, self.site, self.destination = world, target, site, destination
        self._detour, self._beyond = detour, beyond

    def done(self) -> bool:
        """Say whether it is there."""
        return bool(np.abs(self._way()[:2]).max() < ARRIVED)

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        world, (near, far) = self.world, ON_PLATE
        point = world.position(self.target) + [0, 0, BOTTOM]
        off = float(np.linalg.norm((point - world.hand)[:2]))
        high = world.hand[2] - point[2]
        on = np.clip((far - off) / (far - near), 0, 1)
        pressed = on * np.clip(2 - high / TOUCH, 0, 1)
        kept = on * np.clip(2 - high / KEPT, 0, 1)
        goal = funnel(world.hand, point, (1 - kept) * off + world.opening, HOVER)
        way = self._way() + self._beyond
        across = np.abs(way[:2][self._detour[:2] == 0]).max()
        way = (way + self._detour * np.clip(2 * across / TURNING - 1, 0, 1))[:2]
        way = way / max(1, np.linalg.norm(way) / STRIDE)
        goal[:2] += kept * (world.hand[:2] + pressed * way - goal[:2])
        goal[2] -= PRESS
        return world.command(goal, 0.0, 0.0, world.slanted)

    def aims(self) -> Aims:
        """Return the plate's middle and its place."""
        points = np.stack([self.world.position(self.target), self.world.site(self.site)])
        return Aims(self.target, self.destination, points)

    def _way(self) -> np.ndarray:
        return self.world.site(self.site) - self.world.position(self.target)


class TurnOn:
    """Turn a stove's knob by pushing the fin on it."""

    def __init__(self, world: World, stove: str) -> None:
        """Name the stove."""
        self.world, self.stove = world, stove
        self._joint = world.model.joint(world.env.get_object(stove).joints[0]).id

    def done(self) -> bool:
        """Say whether it is on."""
        return self.world.joint(self.stove) > ON

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        goal = sweep(self.world, *self._touch(), HOVER, LOW, BESIDE)
        return self.world.command(goal, 0.0, 0.0, INWARDS)

    def aims(self) -> Aims:
        """Return where the fin is pushed."""
        return Aims(self.stove, None, np.stack([self._touch()[0], np.full(3, np.nan)]))

    def _touch(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the fingers touch the fin [3], m, and the direction they push in [3]."""
        angle = self.world.joint(self.stove)
        fin = np.array([np.cos(angle), np.sin(angle), 0])
        ahead = np.array([-fin[1], fin[0], 0])
        anchor = self.world.data.xanchor[self._joint]
        return anchor + LEVER * fin - HALF * ahead + [0, 0, FIN], ahead


def sweep(
    world: World, touch: np.ndarray, ahead: np.ndarray, hover: float, low: float, beside: float
) -> np.ndarray:
    """
    Return where the hand goes [3] to push something about its axis, closed and from above.

    touch: where it touches [3], m. ahead: direction of the push [3]. hover: m above, to come to
    from any side. low: m above, at which the push begins. beside: m from the line of the push
    that don't count as beside it.
    """
    down = np.clip(2 - (world.hand[2] - touch[2]) / low, 0, 1)
    along = np.clip((world.hand - touch) @ ahead / RUN_UP, -1, 0)
    start = touch + ahead * RUN_UP * (down * along - (1 - down))
    off = float(np.linalg.norm((start - world.hand)[:2]))
    share = down * np.clip(2 - off / beside, 0, 1)
    return funnel(world.hand, start, off + world.opening, hover) + share * 2 * RUN_UP * ahead
