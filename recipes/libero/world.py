# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What scripted experts see of LIBERO's simulator, and the commands they give.

Reads the privileged state, always the present one, and changes nothing. Knows no task.
"""

from dataclasses import dataclass
from functools import cached_property
from functools import lru_cache
from typing import Any
from typing import Protocol

import numpy as np

UNIT = 0.05  # m, of the controller's input of one
ANGLE_UNIT = 0.5  # rad
GAIN = 1.6  # of the distance per control period: the controller comes a part of the way in one
MOST = 0.9  # of the input, in any direction
CLOSED, NOTHING = 0.072, 0.004  # m between the fingers: no longer open; closed on nothing
REST = 0.01  # m/s, of a finger: free, it closes ten times as fast
OUT = (0.42, 0.5, 0.68, 0.85)  # m, of the hand from the base
SLANTS = (-0.15, 0.0, 0.25, 0.45)  # of the fingers there, outwards
ELBOW, BENT = 3, (0.1, 0.35)  # rad: a straight arm that is to turn the hand too never bends
DOWN = np.array([0.0, 0.0, -1.0])  # where the fingers point
SIGNS = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T  # [8, 3] of a box


@dataclass(frozen=True)
class Aims:
    """
    Say what the hand is after.

    target, destination: names in `objects_dict` or `fixtures_dict`. points [2, 3], m: where to
    grasp or push, where to put it down; a row of NaN where there is none.
    """

    target: str
    destination: str | None
    points: np.ndarray


class Stage(Protocol):
    """One skill of a task; the first that isn't done is acted on."""

    def done(self) -> bool:
        """Say whether the present state needs nothing more of this skill."""

    def action(self) -> np.ndarray:
        """Return the next action [7]; see `World.command`."""

    def aims(self) -> Aims:
        """Return what the hand is after in the present state."""


class World:
    """Read the present state of one task's simulator (`Libero.sim_env`)."""

    def __init__(self, sim_env: Any) -> None:
        """Keep the simulator; `env` is robosuite's, `model` and `data` are MuJoCo's."""
        self.env = sim_env.env
        self.robot = self.env.robots[0]
        self.model, self.data = self.env.sim.model._model, self.env.sim.data._data
        self.table = self._top()  # m, height

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of all objects and fixtures."""
        return (*self.env.objects_dict, *self.env.fixtures_dict)

    @property
    def hand(self) -> np.ndarray:
        """Return where the fingers close [3], m."""
        return self.data.site_xpos[self.robot.eef_site_id]

    @property
    def opening(self) -> float:
        """Return how far the fingers are apart, m: 0.08 when open."""
        one, other = (self.data.qpos[i] for i in self.robot._ref_gripper_joint_pos_indexes)
        return float(one - other)

    @property
    def fingers_rest(self) -> bool:
        """Say whether the fingers neither open nor close."""
        speeds = [self.data.qvel[i] for i in self.robot._ref_gripper_joint_vel_indexes]
        return max(map(abs, speeds)) < REST

    @property
    def closing(self) -> np.ndarray:
        """Return the direction, x and y, in which the fingers close."""
        site = self.data.site_xmat[self.robot.eef_site_id].reshape(3, 3)
        return site[:2, 0] / np.linalg.norm(site[:2, 0])

    @property
    def slanted(self) -> np.ndarray:
        """
        Return where the fingers shall point [3]: outwards far from the base, inwards near it.

        Held upright, the arm would be straight before the hand comes to the far things, and near
        the base the wrist's axes would fall together.
        """
        base = self.data.xpos[self.model.body(self.robot.robot_model.root_body).id]
        slant = np.interp(np.linalg.norm((self.hand - base)[:2]), OUT, SLANTS)
        return np.array([slant, 0.0, -1.0]) / np.hypot(slant, 1.0)

    def position(self, name: str) -> np.ndarray:
        """Return the origin [3] of an object or fixture, m."""
        return self.data.xpos[self._body(name)]

    def rotation(self, name: str) -> np.ndarray:
        """Return the rotation matrix [3, 3] of an object or fixture."""
        return self.data.xmat[self._body(name)].reshape(3, 3)

    def site(self, name: str) -> np.ndarray:
        """Return the middle [3], m, of a region such as 'wooden_cabinet_1_top_side'."""
        return self.data.site_xpos[self.model.site(name).id]

    def joint(self, name: str, number: int = 0) -> float:
        """Return where a joint of a fixture is, m or rad."""
        return float(self.data.joint(self.env.get_object(name).joints[number]).qpos[0])

    def corners(self, name: str) -> np.ndarray:
        """Return the corners [8 * geoms, 3] of an object's collision boxes, m."""
        geoms = self._geoms(name)
        middles, halves = self.model.geom_aabb[geoms].reshape(-1, 2, 3).transpose(1, 0, 2)
        local = middles[:, None] + SIGNS * halves[:, None]  # [geoms, 8, 3]
        turned = local @ self.data.geom_xmat[geoms].reshape(-1, 3, 3).transpose(0, 2, 1)
        return (self.data.geom_xpos[geoms][:, None] + turned).reshape(-1, 3)

    def bounds(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest x, y, z of an object's collision boxes, m."""
        corners = self.corners(name)
        return corners.min(0), corners.max(0)

    def grasped(self, name: str) -> bool:
        """Say whether both fingers touch an object."""
        return bool(self.env._check_grasp(self.robot.gripper, self.env.get_object(name)))

    def turn(self, closing: np.ndarray) -> float:
        """Return by what angle to turn about z, rad, to close along a direction x, y."""
        now, wanted = (np.arctan2(y, x) for x, y in (self.closing, closing))
        return float((wanted - now + np.pi / 2) % np.pi - np.pi / 2)

    def tilted(self, pointing: np.ndarray = DOWN) -> float:
        """Return how far the fingers are from pointing in a direction [3], rad."""
        return float(np.linalg.norm(self._tilt(pointing)))

    def command(
        self, goal: np.ndarray, turn: float, gripper: float, pointing: np.ndarray = DOWN
    ) -> np.ndarray:
        """
        Return the action [7] towards a place of the hand.

        goal: [3], m. turn: rad about z that are left. gripper: 1 open, 0 closed. pointing:
        direction [3] that the fingers shall point in.
        """
        move = GAIN * (goal - self.hand) / UNIT
        move /= max(1.0, np.abs(move).max() / MOST)
        rotate = GAIN * (self._tilt(pointing) + [0, 0, turn]) / ANGLE_UNIT
        rotate /= max(1.0, np.abs(rotate).max() / (MOST / 2))
        bent = -self.data.qpos[self.robot._ref_joint_pos_indexes[ELBOW]]
        rotate *= np.interp(bent, BENT, (0.02, 1.0))  # of nothing at all the last is kept
        return np.array([*move, *rotate, gripper])

    def _tilt(self, pointing: np.ndarray) -> np.ndarray:
        """Return the rotation vector [3], rad, that the fingers are from pointing so."""
        now = self.data.site_xmat[self.robot.eef_site_id].reshape(3, 3)[:, 2]
        axis = np.cross(now, pointing)
        sine = np.linalg.norm(axis)
        return axis * (np.arctan2(sine, now @ pointing) / max(sine, 1e-6))

    def _top(self) -> float:
        """Return the height of the table, or floor, m: not the workspace's origin, 27 mm off."""
        heights = [0.0]
        for geom in range(self.model.ngeom):
            name = self.model.body(self.model.geom_bodyid[geom]).name
            if name.endswith(('table', 'table_col')) and self.model.geom_contype[geom]:
                up = self.data.geom_xmat[geom, 6:9]
                half = np.abs(up) @ self.model.geom_size[geom]
                heights.append(float(self.data.geom_xpos[geom, 2] + half))
        return max(heights)

    @lru_cache  # noqa: B019  # a world lives as long as its simulator
    def _geoms(self, name: str) -> np.ndarray:
        """Return the colliding geoms of an object or fixture and all of its parts."""
        bodies = {self._body(name)}
        for body in range(self.model.nbody):  # parents come first
            if self.model.body_parentid[body] in bodies:
                bodies.add(body)
        geoms = range(self.model.ngeom)
        mine = [g for g in geoms if self.model.geom_bodyid[g] in bodies]
        return np.array([g for g in mine if self.model.geom_contype[g]])

    @lru_cache  # noqa: B019
    def _body(self, name: str) -> int:
        return self.model.body(self.env.get_object(name).root_body).id
