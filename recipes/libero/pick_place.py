# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take hold of an object from above, carry it and put it down.

The hand comes down in a funnel: how high it must be is a steep function of how far beside the
grasp it is, so that what is to be learned doesn't jump. Carrying is the same with the place to
put it down. Knows no task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Protocol

import numpy as np

from recipes.libero.world import Aims
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
CLOSING = 1.5  # times as far it may be away when it's closing
SHUT = 0.4  # m beside the grasp that a metre of being shut counts for
FINGER = 0.032  # m, how deep the fingers reach below an object's top
LOWEST = 0.012  # m, of the gripper over the table
ELONGATED = 1.25  # times as long as narrow: the fingers take the narrow side
MARGIN = 0.015  # m, around an object's box where the gripper has it between its fingers
LIFTED = 0.015  # m, of an object's lowest point: something must be holding it
RIM_DEPTH = 0.016  # m, of the hand below a rim
RIM_INSET = 0.004  # m, from an object's outermost points to the middle of its rim
NEAR_RIM = (0.02, 0.03)  # m, of the hand from the rim, flat and in height, when it has it
RIM_THICK = 0.012  # m between the fingers when they are closed on a rim
WEDGED = 0.045  # m, the same at most when they can't close further, deep in a bowl that leans
PUT = 0.012  # m, beside its place, where an object is put down
LET_GO = 0.008  # m, over its place, where an object is let go
STAYS = 0.025  # m, beside its place, where an object is left alone
RESTS = 0.02  # m, the same above it
PALM = (0.1, 0.035, 0.04)  # m, the hand's reach to where its fingers close, across, and its height


@dataclass(frozen=True)
class Hold:
    """
    Say where the hand shall close.

    point: [3], m. turn: rad about z that are left. hover: m above the point where it is safe
    to come from any side. pointing: direction [3] of the fingers.
    """

    point: np.ndarray
    turn: float
    hover: float
    pointing: np.ndarray = field(default_factory=DOWN.copy)


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


class RimGrasp:
    """Take a round bowl by its rim, one finger inside, at a fixed side of it."""

    def __init__(self, world: World, target: str, side: float = np.pi / 2) -> None:
        """
        Name what to take.

        side: where on the rim, rad from x about z of the world; the fingers close along it.
        """
        self.world, self.target = world, target
        self._outwards = np.array([np.cos(side), np.sin(side), 0.0])
        local = (world.corners(target) - world.position(target)) @ world.rotation(target)
        low, high = local.min(0), local.max(0)
        self._radius = float((high - low)[:2].mean() / 2 - RIM_INSET)
        self._above = np.array([*(low + high)[:2] / 2, high[2]])  # of its origin: the rim's middle

    def hold(self) -> Hold:
        """Return where to close in the present state."""
        point = self._rim(self._outwards) - [0, 0, RIM_DEPTH]
        return Hold(point, self.world.turn(self._outwards[:2]), HOVER, self.world.slanted)

    def held(self) -> bool:
        """Say whether the hand has the object, at whatever place of its rim."""
        world = self.world
        away = world.hand - self._rim(world.hand - self._rim()) + [0, 0, RIM_DEPTH]
        near = np.linalg.norm(away[:2]) < NEAR_RIM[0] and abs(away[2]) < NEAR_RIM[1]
        shut = NOTHING < world.opening < RIM_THICK
        stuck = RIM_THICK <= world.opening < WEDGED and world.fingers_rest
        return bool(near and (shut or stuck or world.grasped(self.target)))

    def _rim(self, towards: np.ndarray | None = None) -> np.ndarray:
        """Return the rim's middle [3], m, or its point towards a direction [3]."""
        rotation = self.world.rotation(self.target)
        middle = self.world.position(self.target) + rotation @ self._above
        if towards is None:
            return middle
        flat = towards @ rotation
        flat[2] = 0.0
        return middle + rotation @ flat * self._radius / max(float(np.linalg.norm(flat)), 1e-6)


@dataclass(frozen=True)
class Place:
    """
    Say where an object shall be put.

    point: [3], m, of the middle of its bottom. above: m over the point on the way there.
    """

    point: np.ndarray
    above: float


class PickPlace:
    """Take an object and put it down somewhere."""

    def __init__(
        self, world: World, grasp: Grasp, destination: str, place: Callable[[], Place]
    ) -> None:
        """
        Lay out the stage.

        place: returns where the object shall be put in the present state.
        """
        self.world, self.grasp = world, grasp
        self.destination, self.place = destination, place

    def done(self) -> bool:
        """Say whether the object lies at its place, let go."""
        if self.grasp.held():
            return False
        way = self.place().point - self._bottom()
        return bool(np.linalg.norm(way[:2]) < STAYS and abs(way[2]) < RESTS)

    def action(self) -> np.ndarray:
        """Return the next action [7]."""
        if not self.grasp.held():
            return approach(self.world, self.grasp.hold())
        place, bottom, pointing = self.place(), self._bottom(), self.grasp.hold().pointing
        beside = float(np.linalg.norm((place.point - bottom)[:2]))
        if beside < PUT and bottom[2] - place.point[2] < LET_GO:
            return self.world.command(self.world.hand, 0.0, 1.0, pointing)
        goal = funnel(bottom, place.point, beside, place.above)
        return self.world.command(self.world.hand + goal - bottom, 0.0, 0.0, pointing)

    def aims(self) -> Aims:
        """Return the grasp and the place."""
        points = np.stack([self.grasp.hold().point, self.place().point])
        return Aims(self.grasp.target, self.destination, points)

    def _bottom(self) -> np.ndarray:
        """Return the lowest height, under the origin: what leans stands up around it."""
        world, target = self.world, self.grasp.target
        return np.array([*world.position(target)[:2], world.bounds(target)[0][2]])


def on(world: World, destination: str, above: float, into: float = 0.0) -> Callable[[], Place]:
    """Return what finds the place on an object, `into` m below its highest point."""

    def place() -> Place:
        low, high = world.bounds(destination)
        return Place(np.array([*(low + high)[:2] / 2, high[2] - into]), above)

    return place


def approach(world: World, hold: Hold) -> np.ndarray:
    """Return the action [7] that brings the open hand to a hold, and closes it there."""
    off = max(np.linalg.norm((hold.point - world.hand)[:2]), TURNED * abs(hold.turn))
    height = abs(world.hand[2] - hold.point[2])
    slack = 1.0 if world.opening > CLOSED else CLOSING  # what has begun to close goes on
    if off < slack * CLOSE and height < slack * AT_HEIGHT and world.opening > NOTHING:
        return world.command(hold.point, hold.turn, 0.0, hold.pointing)
    off = max(off, ALIGNED + SHUT * (CLOSED - world.opening))  # a shut hand opens above it
    goal = funnel(world.hand, hold.point, off, hold.hover)
    return world.command(goal, hold.turn, 1.0, hold.pointing)


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
