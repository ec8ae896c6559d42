# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw the initial scene of an episode: poses, colours, light, camera jitter, start of the arm.

Everything comes from one generator, so a seed fixes an episode. It does not step the physics.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from vla_cache_ros.environments.tabletop.scene import CUBE_COLORS
from vla_cache_ros.environments.tabletop.scene import CUBE_HALF
from vla_cache_ros.environments.tabletop.scene import PLATE_COLORS
from vla_cache_ros.environments.tabletop.scene import PLATE_RADIUS
from vla_cache_ros.environments.tabletop.tasks import Task

_X = (0.40, 0.61)  # m, where objects may lie, base frame
_Y = (-0.20, 0.20)
_CUBES = 3  # on the table at once, the named one included: distractors are always present
_PLATES = 2
_CUBE_GAP = 0.095  # m between cube centres: room for an open finger
_PLATE_GAP = PLATE_RADIUS + 0.06
_PUSH_LANE = 0.075  # m, half width of the lane that stays clear in front of a pushed cube


@dataclass(frozen=True)
class Scene:
    """Hold a drawn scene: centre (x, y) in m per object name, yaw in rad per cube."""

    cubes: dict[str, tuple[float, float, float]]
    plates: dict[str, tuple[float, float]]
    start: np.ndarray  # gripper position [3], m
    start_yaw: float  # rad


def _spot(rng, task: Task, is_target: bool) -> np.ndarray:
    low, high = _Y
    if is_target and task.kind == 'push':
        low, high = -0.10, 0.10
    return np.array([rng.uniform(*_X), rng.uniform(low, high)])


def _fits(spot, placed, gap_of) -> bool:
    return all(np.linalg.norm(spot - other) >= gap_of(name) for name, other in placed.items())


def _blocks_push(spot, placed, task: Task, radius: float) -> bool:
    if task.kind != 'push':
        return False
    target = placed[f'cube_{task.cube}']
    return abs(spot[0] - target[0]) < _PUSH_LANE + radius - CUBE_HALF and (
        abs(spot[1] - target[1]) < 0.12 or (spot[1] - target[1]) * task.side > 0
    )


def draw_scene(rng: np.random.Generator, task: Task) -> Scene:
    """Place the task's objects and distractors at random without overlaps."""
    others = [c for c in CUBE_COLORS if c != task.cube]
    plates = [p for p in PLATE_COLORS if p != task.plate]
    rng.shuffle(others)
    rng.shuffle(plates)
    names = [f'cube_{task.cube}']
    names += [f'plate_{task.plate}'] if task.plate else []
    names += [f'plate_{p}' for p in plates][: _PLATES - len(names) + 1]
    names += [f'cube_{c}' for c in others][: _CUBES - 1]
    while True:
        placed: dict[str, np.ndarray] = {}
        for name in names:
            is_plate = name.startswith('plate')
            radius = PLATE_RADIUS if is_plate else CUBE_HALF

            def gap(other: str, is_plate: bool = is_plate) -> float:
                if is_plate and other.startswith('plate'):
                    return 2 * PLATE_RADIUS + 0.01
                return _PLATE_GAP if is_plate or other.startswith('plate') else _CUBE_GAP

            for _ in range(40):
                spot = _spot(rng, task, name == names[0])
                clear = name == names[0] or not _blocks_push(spot, placed, task, radius)
                if clear and _fits(spot, placed, gap):
                    placed[name] = spot
                    break
            else:
                break
        if len(placed) == len(names):
            break
    return Scene(
        cubes={
            n[5:]: (*p, rng.uniform(-0.35, 0.35)) for n, p in placed.items() if n[:4] == 'cube'
        },
        plates={n[6:]: tuple(p) for n, p in placed.items() if n[:5] == 'plate'},
        start=rng.uniform([0.38, -0.15, 0.16], [0.60, 0.15, 0.28]),
        start_yaw=rng.uniform(-0.15, 0.15),
    )


class Appearance:
    """Vary colours, light and cameras of a model around their nominal values."""

    def __init__(self, model: mujoco.MjModel):
        """Remember the nominal values."""
        self._model = model
        self._rgba = model.geom_rgba.copy()
        self._light = model.light_dir.copy(), model.light_diffuse.copy()
        self._head = model.vis.headlight.ambient.copy()
        self._cameras = model.cam_pos.copy(), model.cam_quat.copy()
        self._colored = {
            f'{kind}_{name}': rgb
            for kind, table in (('cube', CUBE_COLORS), ('plate', PLATE_COLORS))
            for name, rgb in table.items()
        }

    def draw(self, rng: np.random.Generator) -> None:
        """Apply a random appearance."""
        model = self._model
        model.geom_rgba[:] = self._rgba
        for name, rgb in self._colored.items():
            color = np.clip(np.array(rgb) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.025, 3), 0, 1)
            model.geom(name).rgba[:3] = color
        for name in ('table', 'floor'):
            shade = rng.uniform(0.75, 1.15) * (1 + rng.normal(0, 0.04, 3))
            model.geom(name).rgba[:3] = np.clip(self._rgba[model.geom(name).id, :3] * shade, 0, 1)
        model.light_dir[:] = self._light[0] + rng.normal(0, 0.25, self._light[0].shape)
        model.light_diffuse[:] = self._light[1] * rng.uniform(0.6, 1.3)
        model.vis.headlight.ambient[:] = self._head * rng.uniform(0.8, 1.25)
        model.cam_pos[:] = self._cameras[0] + rng.normal(0, 0.003, (model.ncam, 3))
        for camera in range(model.ncam):
            turn = np.empty(4)
            axis = rng.normal(size=3)
            mujoco.mju_axisAngle2Quat(turn, axis / np.linalg.norm(axis), rng.normal(0, 0.005))
            mujoco.mju_mulQuat(model.cam_quat[camera], turn, self._cameras[1][camera])
