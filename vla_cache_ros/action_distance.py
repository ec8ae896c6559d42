# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how far cached actions are from the dense ones of the same observation: defined here alone.

Compared are the first `executed` actions of two chunks, those played before the arm looks again.
Chunks are `[..., C, A]`, results `[...]`. An action is a translation, a rotation vector and the
gripper, each for one control step.
"""

from typing import TypeVar

import numpy as np

Actions = TypeVar('Actions')  # an array, or a tensor that has a gradient


def action_distance(cached: Actions, dense: Actions, executed: int) -> Actions:
    """Return the mean absolute difference of normalised actions: units of [-1, 1]."""
    return abs(cached - dense)[..., :executed, :].mean((-2, -1))


def drift_distance(cached: np.ndarray, dense: np.ndarray, executed: int) -> float:
    """
    Return the distance of two normalised chunks `[C, A]` that the drift guard judges.

    The larger of two numbers: the mean absolute difference of the motion, and half the difference
    of the mean gripper. So a gripper that closes one action later than the other's is nothing, and
    one that stays open instead is 0.5.
    """
    difference = (cached - dense)[:executed]
    motion, gripper = np.abs(difference[:, :-1]).mean(), abs(difference[:, -1].mean()) / 2
    return float(max(motion, gripper))


def displacement(cached: np.ndarray, dense: np.ndarray, executed: int) -> np.ndarray:
    """Return how far off the arm is when it looks again, mm for actions in m."""
    return 1e3 * np.linalg.norm((cached - dense)[..., :executed, :3].sum(-2), axis=-1)


def turn(cached: np.ndarray, dense: np.ndarray, executed: int) -> np.ndarray:
    """Return how far the arm is turned when it looks again, degrees for actions in rad."""
    return np.degrees(np.linalg.norm((cached - dense)[..., :executed, 3:6].sum(-2), axis=-1))


def step_displacement(cached: np.ndarray, dense: np.ndarray, executed: int) -> np.ndarray:
    """Return how far off a single action is in the mean, mm for actions in m."""
    return 1e3 * np.linalg.norm((cached - dense)[..., :executed, :3], axis=-1).mean(-1)


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest absolute difference, which is what rounding leaves of equal actions."""
    return float(np.abs(one - other).max())
