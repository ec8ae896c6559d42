# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert between a data set's units and the numbers of a model of LeRobot's, by its formulas.

Nothing is clipped, and what is added to a deviation on the way in isn't on the way out. Source:
LeRobot 0.6.1, `processor/{normalize,relative_action}_processor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from vla_cache_ros.vla.actions import Statistics

# mode -> the two statistics that it takes
MODES = {
    'IDENTITY': (),
    'MEAN_STD': ('mean', 'std'),
    'MIN_MAX': ('min', 'max'),
    'QUANTILES': ('q01', 'q99'),
    'QUANTILE10': ('q10', 'q90'),
}


@dataclass(frozen=True)
class Scaling:
    """
    Hold how a vector `[N]` is normalised.

    mode: one of MODES. first, second: its statistics `[N]`, zeros and ones for IDENTITY. epsilon:
    added to a deviation, or in place of a range that is zero.
    """

    mode: str
    first: np.ndarray
    second: np.ndarray
    epsilon: float

    def __len__(self) -> int:
        return len(self.first)

    @property
    def middle(self) -> np.ndarray:
        """Return what the model's zeros stand for, `[N]`."""
        return self.denormalize(np.zeros(len(self)))

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Map values `[..., N]` to the model's numbers; float32 stays so, all else is float64."""
        values, first, second, epsilon = self._as(values)
        if self.mode == 'IDENTITY':
            return values
        if self.mode == 'MEAN_STD':
            return (values - first) / (second + epsilon)
        return 2 * (values - first) / self._range(first, second, epsilon) - 1

    def denormalize(self, values: np.ndarray) -> np.ndarray:
        """Map the model's numbers `[..., N]` to the data's units, in float64."""
        values, first, second, epsilon = self._as(np.asarray(values, dtype=np.float64))
        if self.mode == 'IDENTITY':
            return values
        if self.mode == 'MEAN_STD':
            return values * second + first
        return (values + 1) * self._range(first, second, epsilon) / 2 + first

    def _as(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.floating]:
        values = np.asarray(values)
        kind = np.float32 if values.dtype == np.float32 else np.float64
        return (
            values.astype(kind),
            self.first.astype(kind),
            self.second.astype(kind),
            kind(self.epsilon),
        )

    @staticmethod
    def _range(low: np.ndarray, high: np.ndarray, epsilon: np.floating) -> np.ndarray:
        return np.where(high == low, epsilon, high - low)


@dataclass(frozen=True)
class FolderStatistics(Statistics):
    """
    Hold how a folder's policy normalises its state and actions.

    relative: which numbers of an action `[A]` the model gives relative to the state, None where
    none are.
    """

    key: str
    action: Scaling
    proprio: Scaling
    relative: np.ndarray | None = None

    def to_actions(self, normalized: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map a model's chunk `[C, A]` to actions; state: raw `[P]`, for those relative to it."""
        return self.action.denormalize(normalized) + self._offset(state)

    def to_normalized(self, actions: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map actions `[L, A]` to a model's numbers, as seen from the raw state `[P]`."""
        return self.action.normalize(np.asarray(actions, np.float64) - self._offset(state))

    def normalize_proprio(self, state: np.ndarray | None) -> np.ndarray:
        """Map a raw state `[P]` to what the model takes, in float32 throughout as LeRobot does."""
        return self.proprio.normalize(self.checked(state).astype(np.float32))

    def _offset(self, state: np.ndarray | None) -> np.ndarray | float:
        if self.relative is None:
            return 0.0
        return np.where(self.relative, self.checked(state)[: len(self.relative)], 0.0)
