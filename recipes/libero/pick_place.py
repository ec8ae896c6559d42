# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take hold of an object from above, and how the hand gets there.

The hand comes down in a funnel: how high it must be is a steep function of how far beside the
grasp it is, so that what is to be learned doesn't jump. Knows no task.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recipes.libero.world import CLOSED
from recipes.libero.world import DOWN
from recipes.libero.world import NOTHING
from recipes.libero.world import World

HOVER = 0.06  # m above the object before the gripper goes down
ALIGNED = 0.01  # m, beside the object, where the gripper may go down to the grasp
TURNED = 0.08  # m, that a radian of turning left counts for
FUNNEL = 4.0  # m above the grasp for each m beside it: what is to be learned must not jump
BESIDE = 0.025  # m below the funnel's wall where the gripper slows, and stands still at twice that
CLOSE = 0.014  # m, beside the object, where the gripper closes
AT_HEIGHT = 0.012  # m, from the grasp, where the gripper closes
FINGER = 0.032  # m, how deep the fingers reach below an object's top
LOWEST = 0.012  # m, of the gripper over the table
ELONGATED = 1.25  # times as long as narrow: the fingers take the narrow side
MARGIN = 0.015  # m, around an object's box where the gripper has it between its fingers
LIFTED = 0.015  # m, of an object's lowest point: something must be holding it
PALM = (0.1, 0.035, 0.04)  # m, the hand's reach to where its fingers close, across, and its height


@dataclass(frozen=True)
class Hold:
    """
    Say where the hand shall close.

    point: [3], m. turn: rad about z that are left. hover: m above the point where it is safe
    to come from any side.
    """

    point: np.ndarray
    turn: float
    hover: float


class Grasp(Protocol):
    """One way to take hold of an object."""

    target: str

    def hold(self) -> Hold:
        """Return where to close in the present state."""

    def held(self) -> bool:
        """Say whether the hand has the object."""


class BodyGrasp:
    """Take an object between the fingers, across its narrow side."""

    def __init__(self, world: World, target: str, spared: tuple[str, ...] = ()) -> None:
        """
        Name what to take.

        spared: of what the palm need not keep clear, such as the basket an object stands in.
        """
        self.world, self.target = world, target
        self._neighbours = [n for n in world.env.objects_dict if n not in (target, *spared)]

    def hold(self) -> Hold:
        """Return where to close in the present state."""
        world = self.world
        corners = world.corners(self.target)
        low, high = corners.min(0), corners.max(0)
        middle = (low + high) / 2
        height = max(middle[2] - 0.005, high[2] - FINGER, world.table + LOWEST)
        point = np.array([*middle[:2], height])
        across, most = self._across(corners[:, :2])
        point[:2] += self._aside(point, across, most)
        return Hold(point, world.turn(across), high[2] + HOVER - height)

    def held(self) -> bool:
        """Say whether the hand has the object."""
        low, high = self.world.bounds(self.target)
        hand = self.world.hand
        inside = bool(((low - MARGIN < hand) & (hand < high + MARGIN)).all())
        lifted = low[2] > self.world.table + LIFTED and self.world.opening < CLOSED
        return inside and (lifted or self.world.grasped(self.target))

    def _aside(self, point: np.ndarray, across: np.ndarray, most: float) -> np.ndarray:
        """Return what to add to a grasp's x and y, m, lest the palm come down on a neighbour."""
        along = np.array([-across[1], across[0]])
        shift = 0.0
        for name in self._neighbours:
            corners = self.world.corners(name)
            if corners[:, 2].max() < point[2] + PALM[2]:
                continue
            aside = (corners[:, :2] - point[:2]) @ along  # [N]
            if np.abs((corners[:, :2] - point[:2]) @ across).min() < PALM[0]:
                if aside.mean() > 0:
                    shift += min(0.0, aside.min() - PALM[1])
                else:
                    shift += max(0.0, aside.max() + PALM[1])
        return np.clip(shift, -most, most) * along

    def _across(self, corners: np.ndarray) -> tuple[np.ndarray, float]:
        """Return where the fingers shall close along, x and y, and how far aside they may, m."""
        centered = corners - corners.mean(0)
        axes = np.linalg.svd(centered, full_matrices=False)[2]  # longest first
        extent = np.ptp(centered @ axes.T, axis=0)
        if extent[0] < ELONGATED * extent[1]:  # round enough to take from any side
            return self.world.closing, extent[1] / 5
        return axes[1], extent[0] / 4


def approach(world: World, hold: Hold) -> np.ndarray:
    """Return the action [7] that brings the hand to a hold, and closes it there."""
    off = max(np.linalg.norm((hold.point - world.hand)[:2]), TURNED * abs(hold.turn))
    if off < CLOSE and abs(world.hand[2] - hold.point[2]) < AT_HEIGHT:
        gripper = 1.0 if world.opening < NOTHING else 0.0
        return world.command(world.hand, 0.0, gripper)
    return world.command(funnel(world.hand, hold.point, off, hold.hover), hold.turn, 1.0)


def funnel(
    at: np.ndarray, point: np.ndarray, off: float, most: float, out: np.ndarray = -DOWN
) -> np.ndarray:
    """
    Return where to go [3] from `at`, to a point: no nearer than `off` allows.

    most: m before the point, in the direction `out` [3], where to come to from any side.
    """
    goal = point + out * np.clip(FUNNEL * (off - ALIGNED), 0, most)
    below = (goal - at) @ out
    aside = goal - at - below * out
    return at + below * out + np.clip(2 - below / BESIDE, 0, 1) * aside
