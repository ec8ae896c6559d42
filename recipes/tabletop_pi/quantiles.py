# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Normalise as LeRobot's QUANTILES do: [q01, q99] to [-1, 1], nothing clipped."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

EPSILON = 1e-8  # stands for a range of 0


def normalize(statistics: Mapping[str, Sequence[float]], values: np.ndarray) -> np.ndarray:
    """Return values [..., N] in physical units as float32 in the model's own."""
    low, width = _range(statistics)
    return (2 * (values - low) / width - 1).astype(np.float32)


def unnormalize(statistics: Mapping[str, Sequence[float]], values: np.ndarray) -> np.ndarray:
    """Return what `normalize` was given, float64."""
    low, width = _range(statistics)
    return (values.astype(np.float64) + 1) / 2 * width + low


def _range(statistics: Mapping[str, Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
    low, high = (np.asarray(statistics[name], np.float64) for name in ('q01', 'q99'))
    width = high - low
    return low, np.where(width == 0, EPSILON, width)
