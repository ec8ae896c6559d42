# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Cartesian velocity control of the arm: integrate a twist, follow it by damped least squares.

Works like a servo driver: it receives twists in the base frame and knows nothing of tasks.
"""

import mujoco
import numpy as np
from vla_cache_ros.environments.tabletop.scene import FINGER_OPEN
from vla_cache_ros.environments.tabletop.scene import HOME

_DAMPING = 0.03  # of the least-squares step; keeps it finite near singular poses
_MAX_LEAD = 0.03  # m the target may run ahead of the arm, so that contact does not wind up
WORKSPACE_LOW = np.array([0.25, -0.32, 0.012])  # m, base frame
WORKSPACE_HIGH = np.array([0.75, 0.32, 0.50])


def rotation_error(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the rotation vector [3] (rad, base frame) from current to target [3, 3]."""
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, (target @ current.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


class TwistController:
    """Turn twists into joint and finger position targets."""

    def __init__(self, model: mujoco.MjModel):
        """Keep a kinematic copy of the arm on which the inverse kinematics is solved."""
        self._model = model
        self._data = mujoco.MjData(model)
        self._site = model.site('tcp').id
        self._jacobian = np.zeros((6, model.nv))
        self._home = np.array(HOME)
        self._limits = model.jnt_range[:7].copy()
        self.position = np.zeros(3)
        self.rotation = np.eye(3)
        self.joints = np.array(HOME)
        self.gripper = 1.0

    def start(self, joints: np.ndarray, gripper: float) -> None:
        """Take the arm as it stands at joints [7] (rad) as the target."""
        self.joints = joints.copy()
        self.gripper = gripper
        self._forward()
        self.position = self._data.site_xpos[self._site].copy()
        self.rotation = self._data.site_xmat[self._site].reshape(3, 3).copy()

    def snapshot(self) -> tuple:
        """Return all that restore() needs."""
        return self.position.copy(), self.rotation.copy(), self.joints.copy(), self.gripper

    def restore(self, state: tuple) -> None:
        """Undo everything since snapshot()."""
        position, rotation, joints, self.gripper = state
        self.position, self.rotation, self.joints = position.copy(), rotation.copy(), joints.copy()

    def advance(
        self, linear: np.ndarray, angular: np.ndarray, measured: np.ndarray, duration: float
    ) -> np.ndarray:
        """
        Move the target by a twist and return the nine actuator targets.

        linear [3] m/s, angular [3] rad/s, measured: position [3] of the real gripper, duration s.
        """
        self.position = self.position + linear * duration
        lead = self.position - measured
        distance = np.linalg.norm(lead)
        if distance > _MAX_LEAD:
            self.position = measured + lead * (_MAX_LEAD / distance)
        self.position = np.clip(self.position, WORKSPACE_LOW, WORKSPACE_HIGH)
        turn = np.empty(4)
        angle = np.linalg.norm(angular) * duration
        if angle > 1e-9:
            step = np.empty(9)
            mujoco.mju_axisAngle2Quat(turn, angular / np.linalg.norm(angular), angle)
            mujoco.mju_quat2Mat(step, turn)
            self.rotation = step.reshape(3, 3) @ self.rotation
        self._solve()
        fingers = FINGER_OPEN * np.clip(self.gripper, 0.0, 1.0)
        return np.concatenate([self.joints, [fingers, fingers]])

    def _forward(self) -> None:
        self._data.qpos[:7] = self.joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    def _solve(self) -> None:
        self._forward()
        error = np.concatenate(
            [
                self.position - self._data.site_xpos[self._site],
                rotation_error(self.rotation, self._data.site_xmat[self._site].reshape(3, 3)),
            ]
        )
        mujoco.mj_jacSite(
            self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site
        )
        jacobian = self._jacobian[:, :7]
        gram = jacobian @ jacobian.T + _DAMPING**2 * np.eye(6)
        # The seventh degree of freedom drifts back to the home posture, in the null space.
        posture = 0.05 * (self._home - self.joints)
        step = posture + jacobian.T @ np.linalg.solve(gram, error - jacobian @ posture)
        self.joints = np.clip(self.joints + step, self._limits[:, 0], self._limits[:, 1])
