# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The scripted expert: from privileged state to the next action, without memory.

Commands are proportional to the distance left and keep their direction, so that a learner sees
magnitudes, not only signs; and they depend on the present state alone, so that any state a
learner reaches can be labelled. It works from the simulator's state, never from images.
"""

import numpy as np
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.scene import CUBE_HALF
from vla_cache_ros.environments.tabletop.scene import LINE_Y
from vla_cache_ros.environments.tabletop.scene import PLATE_HEIGHT

GAIN = 0.45  # share of the remaining distance commanded per control period
MAX_STEP = 0.03  # m per control period
MAX_TURN = 0.06  # rad per control period
_HOVER = 0.075  # m above the grasp height at which the gripper travels
_CARRY = 0.12  # m, cube height while it is carried
_TOLERANCE = 0.007  # m, horizontal error at which the gripper starts to descend
_FUNNEL = 0.03  # m of horizontal error over which it climbs back to the hover height
_GRASP_Z = CUBE_HALF


def _towards(goal: np.ndarray, position: np.ndarray) -> np.ndarray:
    step = GAIN * (goal - position)
    return step * min(1.0, MAX_STEP / max(np.linalg.norm(step), 1e-9))


def _funnel(goal: np.ndarray, position: np.ndarray, height: float) -> np.ndarray:
    """Raise the goal by up to height (m) while the gripper is not yet above it."""
    error = np.linalg.norm(goal[:2] - position[:2])
    return goal + [0, 0, height * np.clip((error - _TOLERANCE) / _FUNNEL, 0, 1)]


def _grasp(position: np.ndarray, cube: np.ndarray, opening: float) -> tuple[np.ndarray, float]:
    goal = np.array([cube[0], cube[1], _GRASP_Z])
    error = np.abs(goal - position)
    closing = opening < 0.074
    near = np.linalg.norm(error[:2]) < (0.018 if closing else 0.010) and error[2] < 0.012
    return _funnel(goal, position, _HOVER), 0.0 if near else 1.0


def _place(
    position: np.ndarray, cube: np.ndarray, plate: np.ndarray, resting: bool
) -> tuple[np.ndarray, float]:
    # Aim the cube, not the gripper, at the plate: it may sit off-centre between the fingers.
    target = position + plate - cube
    error = np.linalg.norm(plate[:2] - cube[:2])
    low = cube[2] < plate[2] + PLATE_HEIGHT + CUBE_HALF + 0.006
    if error < 0.025 and (low or resting):
        return position, 1.0
    height = PLATE_HEIGHT + CUBE_HALF + 0.001
    rise = (_CARRY - height) * np.clip((error - 0.012) / 0.035, 0, 1)
    target[2] = position[2] + (height + rise) - cube[2]
    return target, 0.0


def _push(position: np.ndarray, cube: np.ndarray, side: int) -> np.ndarray:
    gap = CUBE_HALF + 0.032  # m between gripper and cube centre behind the cube
    behind = (cube[1] - position[1]) * side
    aligned = abs(cube[0] - position[0])
    if aligned < 0.012 and behind > 0.02 and position[2] < 0.045:
        goal_y = side * (LINE_Y + 0.05)
        return np.array([cube[0], goal_y, _GRASP_Z])
    start = np.array([cube[0], cube[1] - side * gap, _GRASP_Z])
    return _funnel(start, position, _HOVER)


def expert_action(env: Tabletop) -> np.ndarray:
    """Return the expert's action [7] for the present state; see Tabletop.step for its units."""
    position, cube = env.tcp(), env.cube_position(env.task.cube)
    gripper, held = 1.0, env.holds()
    if env.task.kind == 'push':
        goal, gripper = _push(position, cube, env.task.side), 0.0
    elif env.task.kind == 'place' and env.on_plate(env.task.cube, env.task.plate) and not held:
        goal = np.array([position[0], position[1], _CARRY])
    elif held and env.task.kind == 'place':
        goal, gripper = _place(
            position,
            cube,
            env.plate_position(env.task.plate),
            env.on_plate(env.task.cube, env.task.plate),
        )
    elif held:
        goal, gripper = np.array([cube[0], cube[1], 0.16]), 0.0
    else:
        goal, gripper = _grasp(position, cube, env.opening())
    turn = np.clip(-GAIN * env.yaw(), -MAX_TURN, MAX_TURN)
    return np.concatenate([_towards(goal, position), [0, 0, turn, gripper]])
