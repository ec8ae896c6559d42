# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Have robosuite compute each physics state once instead of three times, bit for bit the same.

In each of the 25 physics steps of a control period robosuite 1.4 calls `mj_forward` twice, for the
robot and for its controller, and then `mj_step`, which begins with the same. What the first two
are asked for is known after `mj_step1`, and `mj_step2` goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def each_state_once(inner: Any) -> Iterator[None]:  # noqa: ANN401
    """
    Step a robosuite environment of one arm so, while the context lasts.

    Nothing but the environment's own `step` may be called inside: a state that is set from
    without would not be noticed.
    """
    import mujoco  # comes with the extra, which a reader of LIBERO's constants need not have

    sim, controller = inner.sim, inner.robots[0].controller
    model, data = sim.model._model, sim.data._data
    site = sim.model.site_name2id(controller.eef_name)
    known = False

    def forward() -> None:
        nonlocal known
        if not known:
            mujoco.mj_step1(model, data)
        known = True

    def step() -> None:
        nonlocal known
        mujoco.mj_step2(model, data)
        known = False

    def update() -> None:
        """Read the arm's state as `Controller.update` does, with one Jacobian instead of four."""
        if not controller.new_update:
            return
        forward()
        linear, angular = np.zeros((2, 3, model.nv))
        mujoco.mj_jacSite(model, data, linear, angular, site)
        controller.ee_pos = np.array(data.site_xpos[site])
        controller.ee_ori_mat = np.array(data.site_xmat[site].reshape(3, 3))
        controller.ee_pos_vel = np.dot(linear, data.qvel)
        controller.ee_ori_vel = np.dot(angular, data.qvel)
        controller.joint_pos = np.array(data.qpos[controller.qpos_index])
        controller.joint_vel = np.array(data.qvel[controller.qvel_index])
        controller.J_pos = np.array(linear[:, controller.qvel_index])
        controller.J_ori = np.array(angular[:, controller.qvel_index])
        controller.J_full = np.vstack([controller.J_pos, controller.J_ori])
        mass = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, mass)
        controller.mass_matrix = mass[controller.qvel_index, :][:, controller.qvel_index]
        controller.new_update = False

    sim.forward, sim.step, controller.update = forward, step, update
    try:
        yield
    finally:
        del sim.forward, sim.step, controller.update
