# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how far a gate's actions are from dense ones on the same observation.

Actions are seven numbers: a translation in m, a rotation vector in rad, the gripper. Knows neither
bags nor models.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.types import ActionChunk

DIMENSIONS = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')


@dataclass(frozen=True)
class Difference:
    """
    Hold what the executed actions of one chunk differ by.

    absolute: [n, 7], units of the training data. normalized: mean over them in units of [-1, 1].
    millimetres, degrees: norm of the summed difference in translation and in rotation, which is
    how far off the arm is when it looks again. flips: actions with the gripper on the other side.
    """

    absolute: np.ndarray
    normalized: float
    millimetres: float
    degrees: float
    flips: int


def difference(
    chunk: ActionChunk, dense: ActionChunk, executed: int, halfway: float
) -> Difference:
    """
    Compare the first `executed` actions of two chunks.

    halfway: the gripper's number between open and closed.
    """
    ours, theirs = chunk.actions[:executed], dense.actions[:executed]
    off = ours - theirs  # [n, 7]
    return Difference(
        absolute=np.abs(off),
        normalized=float(np.abs(chunk.normalized - dense.normalized)[:executed].mean()),
        millimetres=1e3 * float(np.linalg.norm(off[:, :3].sum(axis=0))),
        degrees=float(np.degrees(np.linalg.norm(off[:, 3:6].sum(axis=0)))),
        flips=int(((ours[:, 6] > halfway) != (theirs[:, 6] > halfway)).sum()),
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, median, 95th percentile and maximum as plain numbers."""
    array = np.asarray(values, np.float64)
    return {
        'mean': float(array.mean()),
        'p50': float(np.percentile(array, 50)),
        'p95': float(np.percentile(array, 95)),
        'max': float(array.max()),
    }


def per_dimension(absolute: Sequence[np.ndarray]) -> Mapping[str, dict[str, float]]:
    """Return mean and 95th percentile of each number of the executed actions [n, 7]."""
    values = np.concatenate(absolute)
    return {
        name: {'mean': float(column.mean()), 'p95': float(np.percentile(column, 95))}
        for name, column in zip(DIMENSIONS, values.T, strict=True)
    }
