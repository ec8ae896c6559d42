# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A scripted expert for LIBERO's "pick up the X and place it in the basket".

It acts on the simulator's state alone, not on what it did before, so that it can say what to do in
any state that a model brings the arm into. Knows the privileged state; knows no images.
"""

from typing import Any

import mujoco
import numpy as np

DESTINATION = 'basket_1'
UNIT = 0.05  # m, of the controller's input of one
ANGLE_UNIT = 0.5  # rad
GAIN = 1.6  # of the distance per control period: the controller comes a part of the way in one
MOST = 0.9  # of the input, in any direction
HOVER = 0.06  # m above the object before the gripper goes down
RIM = 0.17  # m, from the basket's origin to what an object must be above on its way
CLEAR = 0.2  # m, the same for where it is lifted to
OVER_BASKET = 0.03  # m, how near the basket's middle an object is let go
IN_BASKET = 0.06  # m, how near it stays
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
CLOSED, NOTHING = 0.072, 0.004  # m between the fingers: no longer open; closed on nothing


class Expert:
    """Say what to do next in one task's simulator (`Libero.sim_env`)."""

    def __init__(self, sim_env: Any) -> None:
        """Find the object that is asked for and its size."""
        self.env = sim_env.env
        names = [name for name in self.env.obj_of_interest if name != DESTINATION]
        self.target = self.env.objects_dict[names[0]]
        self.model, self.data = self.env.sim.model._model, self.env.sim.data._data
        self.basket = self.env.objects_dict[DESTINATION]
        self._geoms = {
            item: [
                g
                for g in range(self.model.ngeom)
                if self.model.geom_bodyid[g] == self._body_of(item) and self.model.geom_contype[g]
            ]
            for item in self.env.objects_dict.values()
        }

    def action(self) -> np.ndarray:
        """Return the next action [7] in the units of the suite's training data."""
        robot = self.env.robots[0]
        hand = self.data.site_xpos[robot.eef_site_id]  # [3]
        fingers = [self.data.qpos[i] for i in robot._ref_gripper_joint_pos_indexes]
        opening = fingers[0] - fingers[1]
        corners = self._corners(self.target)  # [N, 3]
        low, high = corners.min(0), corners.max(0)
        middle = (low + high) / 2
        basket = self.data.xpos[self._body_of(self.basket)]
        inside = bool(((low - MARGIN < hand) & (hand < high + MARGIN)).all())
        lifted = low[2] > LIFTED and opening < CLOSED
        held = inside and (lifted or self.env._check_grasp(robot.gripper, self.target))
        turn = self._turn(robot)
        goal, gripper = hand.copy(), 1.0
        beside = np.abs(middle - basket)[:2].max()
        if held and beside > OVER_BASKET:
            gripper, turn = 0.0, 0.0
            goal[2] += basket[2] + CLEAR - low[2]
            if low[2] > basket[2] + RIM:
                goal[:2] += (basket - middle)[:2]
        elif beside < IN_BASKET:
            goal[2], turn = basket[2] + CLEAR + 0.05, 0.0
        else:
            grasp = np.array([*middle[:2], max(middle[2] - 0.005, high[2] - FINGER, LOWEST)])
            grasp[:2] += self._aside(robot, grasp)
            off = max(np.linalg.norm((grasp - hand)[:2]), TURNED * abs(turn))
            goal = grasp + [0, 0, np.clip(FUNNEL * (off - ALIGNED), 0, high[2] + HOVER - grasp[2])]
            below = goal[2] - hand[2]
            goal[:2] = hand[:2] + np.clip(2 - below / BESIDE, 0, 1) * (goal - hand)[:2]
            if off < CLOSE and abs(hand[2] - grasp[2]) < AT_HEIGHT:
                gripper, goal = 0.0, hand.copy()
                turn = 0.0
                if opening < NOTHING:
                    gripper = 1.0
        return self._command(goal - hand, turn, gripper)

    def _command(self, way: np.ndarray, turn: float, gripper: float) -> np.ndarray:
        move = GAIN * way / UNIT
        move /= max(1.0, np.abs(move).max() / MOST)
        yaw = np.clip(GAIN * turn / ANGLE_UNIT, -MOST / 2, MOST / 2)
        return np.array([*move, 0.0, 0.0, yaw, gripper])

    def _turn(self, robot: Any) -> float:
        """Return by what angle to turn about z, rad, for the fingers to take the narrow side."""
        now, wanted = (np.arctan2(y, x) for x, y in (_closing(robot), self._across(robot)[0]))
        return float((wanted - now + np.pi / 2) % np.pi - np.pi / 2)

    def _aside(self, robot: Any, grasp: np.ndarray) -> np.ndarray:
        """Return what to add to a grasp's x and y, m, lest the palm come down on a neighbour."""
        across, most = self._across(robot)
        along = np.array([-across[1], across[0]])
        shift = 0.0
        for item in self._geoms:
            corners = self._corners(item)
            if item in (self.target, self.basket) or corners[:, 2].max() < grasp[2] + PALM[2]:
                continue
            aside = (corners[:, :2] - grasp[:2]) @ along  # [N]
            if np.abs((corners[:, :2] - grasp[:2]) @ across).min() < PALM[0]:
                if aside.mean() > 0:
                    shift += min(0.0, aside.min() - PALM[1])
                else:
                    shift += max(0.0, aside.max() + PALM[1])
        return np.clip(shift, -most, most) * along

    def _across(self, robot: Any) -> tuple[np.ndarray, float]:
        """Return where the fingers shall close along, x and y, and how far aside they may, m."""
        corners = self._corners(self.target)[:, :2]
        centered = corners - corners.mean(0)
        axes = np.linalg.svd(centered, full_matrices=False)[2]  # longest first
        extent = np.ptp(centered @ axes.T, axis=0)
        if extent[0] < ELONGATED * extent[1]:  # round enough to take from any side
            return _closing(robot), extent[1] / 5
        return axes[1], extent[0] / 4

    def _corners(self, item: Any) -> np.ndarray:
        """Return the corners [8 * geoms, 3] of an object's collision boxes, m, world frame."""
        signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T  # [8, 3]
        parts = []
        for geom in self._geoms[item]:
            if self.model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
                local = signs * self.model.geom_size[geom]
                matrix = self.data.geom_xmat[geom].reshape(3, 3)
                parts.append(self.data.geom_xpos[geom] + local @ matrix.T)
        return np.concatenate(parts)

    def _body_of(self, item: Any) -> int:
        return self.model.body(item.root_body).id


def _closing(robot: Any) -> np.ndarray:
    """Return the direction, x and y, in which the fingers close: the site's x."""
    site = robot.sim.data.site_xmat[robot.eef_site_id].reshape(3, 3)
    return site[:2, 0] / np.linalg.norm(site[:2, 0])
