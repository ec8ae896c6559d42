# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The arm without physics: where its gripper is, and which joints follow a twist.

For an arm that is simulated elsewhere; it never sees a table.
"""

import mujoco
import numpy as np
from vla_cache_ros.environments.tabletop.controller import TwistController
from vla_cache_ros.environments.tabletop.scene import build_xml
from vla_cache_ros.environments.tabletop.scene import HOME

HOMING_SPEED = 0.8  # rad/s of the fastest joint
HOMED = 0.02  # rad, what every joint may be off when the arm counts as at home


class Arm:
    """Bring an arm to its home posture, then let it follow twists."""

    def __init__(self):
        """Compile the model."""
        self._model = mujoco.MjModel.from_xml_string(build_xml())
        self._data = mujoco.MjData(self._model)
        self._controller = TwistController(self._model)
        self._tcp = self._model.site('tcp').id
        self._target: np.ndarray | None = None  # of a homing under way
        self.home = False  # whether the arm has been at its home posture

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gripper's position [3] (m) and quaternion [4] (x y z w) at joints [7]."""
        self._data.qpos[:7] = joints
        mujoco.mj_kinematics(self._model, self._data)
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self._data.site_xmat[self._tcp])
        return self._data.site_xpos[self._tcp].copy(), quaternion[[1, 2, 3, 0]]

    def forget(self) -> None:
        """Let the arm go home again before it follows anything."""
        self.home, self._target = False, None

    def go_home(self, joints: np.ndarray, duration: float) -> np.ndarray:
        """Return targets [9] a step of duration (s) nearer home than joints [7], fingers open."""
        target = joints if self._target is None else self._target
        step = np.array(HOME) - target
        fastest = np.abs(step).max() / (HOMING_SPEED * duration)
        self._target = target + step / max(1.0, fastest)
        if np.abs(joints - HOME).max() < HOMED:
            self.home = True
            self._controller.start(np.array(HOME), 1.0)
        return np.concatenate([self._target, self._model.jnt_range[7:9, 1]])

    def follow(
        self, twist: np.ndarray, gripper: float, joints: np.ndarray, duration: float
    ) -> np.ndarray:
        """
        Return targets [9] that move the gripper on by a twist.

        twist [6] m/s and rad/s, base frame; gripper 1 open to 0 closed; joints [7] as measured,
        rad; duration s.
        """
        position, _ = self.pose(joints)
        self._controller.gripper = 1.0 if gripper > 0.5 else 0.0
        return self._controller.advance(twist[:3], twist[3:], position, duration)
