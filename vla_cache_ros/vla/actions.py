# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Convert between what the model emits and the units of the training data.

Action tokens to bin centres, normalised actions to physical ones, raw proprioception to [-1, 1].
Knows nothing of what the numbers mean: units are those of the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.json_file import mapping

# OpenVLA-OFT's guard against a zero range; OpenVLA has none.
OFT_EPSILON = 1e-8


@dataclass(frozen=True)
class Bounds:
    """Hold the range `[N]` that [-1, 1] stands for; where `mask` is False values are raw."""

    low: np.ndarray
    high: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.low)

    @property
    def middle(self) -> np.ndarray:
        """Return the middle of the range `[N]`."""
        return (self.low + self.high) / 2

    @classmethod
    def from_dict(
        cls, raw: Mapping[str, Any], source: str, normalization: str = 'bounds_q99'
    ) -> Bounds:
        """
        Read the bounds of one entry of the data set statistics.

        normalization: 'bounds_q99' reads q01 and q99, 'bounds' min and max. Raises
        CheckpointError, naming `source`, if a key is absent or lengths differ.
        """
        names = ('q01', 'q99') if normalization == 'bounds_q99' else ('min', 'max')
        for name in names:
            if name not in mapping(source, raw):
                raise CheckpointError(f'{source}: expected the key {name!r}, found none')
        try:
            low, high = (np.asarray(raw[name], dtype=np.float64) for name in names)
            mask = np.asarray(raw.get('mask', np.ones(low.shape)), dtype=bool)
        except (TypeError, ValueError, OverflowError) as error:
            reason = ' '.join(str(error).split())
            raise CheckpointError(f'{source}: expected numbers ({reason:.200})') from error
        if low.ndim != 1 or low.shape != high.shape or low.shape != mask.shape:
            raise CheckpointError(
                f'{source}: expected vectors of one length, found '
                f'{names[0]} {low.shape}, {names[1]} {high.shape}, mask {mask.shape}'
            )
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise CheckpointError(f'{source}: expected finite numbers, found NaN or infinity')
        return cls(low, high, mask)

    def denormalize(self, values: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
        """Map normalised values `[..., N]` to the data's units, in float64."""
        values = np.asarray(values, dtype=np.float64)
        span = self.high - self.low + epsilon
        return np.where(self.mask, 0.5 * (values + 1) * span + self.low, values)

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Map values `[..., N]` in the data's units to [-1, 1], clipped, in float64."""
        values = np.asarray(values, dtype=np.float64)
        scaled = 2 * (values - self.low) / (self.high - self.low + OFT_EPSILON) - 1
        return np.clip(np.where(self.mask, scaled, values), -1.0, 1.0)


class Statistics:
    """
    Convert between one data set's units and what a model takes and gives.

    key: its name. action, proprio: as `Bounds`; proprio is None where the data set has none.
    """

    key: str
    action: Bounds
    proprio: Bounds | None

    def to_actions(self, normalized: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map a model's chunk `[C, A]` to actions; state: raw `[P]`, for those relative to it."""
        raise NotImplementedError

    def to_normalized(self, actions: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map actions `[L, A]` to a model's numbers, the inverse of `to_actions`."""
        raise NotImplementedError

    def normalize_proprio(self, state: np.ndarray | None) -> np.ndarray:
        """
        Map a raw robot state `[P]` to the float32 that the model takes.

        Raises InputError if it is absent, of another length or not finite.
        """
        return self.proprio.normalize(self.checked(state)).astype(np.float32)

    def checked(self, state: np.ndarray | None) -> np.ndarray:
        """Return a raw state `[P]` in float64; raises InputError for one that does not fit."""
        if self.proprio is None:
            raise CheckpointError(
                f"statistics of {self.key}: expected the key 'proprio', found none"
            )
        wanted = len(self.proprio)
        try:
            state = None if state is None else np.asarray(state, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f'proprio: expected [{wanted}] numbers, found {state!r:.80}'
            ) from error
        found = None if state is None else list(np.shape(state))
        if found != [wanted]:
            raise InputError(f'proprio: expected [{wanted}] numbers, found {found}')
        if not np.isfinite(state).all():
            raise InputError(f'proprio: expected finite numbers, found {np.asarray(state)}')
        return state


@dataclass(frozen=True)
class DatasetStatistics(Statistics):
    """
    Hold the bounds of one data set's actions and, if it recorded any, proprioception.

    epsilon: what the model's family adds to the range of actions.
    """

    key: str
    action: Bounds
    proprio: Bounds | None
    epsilon: float = 0.0

    def to_actions(self, normalized: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map a model's chunk `[C, A]` to actions."""
        return self.action.denormalize(normalized, self.epsilon)

    def to_normalized(self, actions: np.ndarray, state: np.ndarray | None = None) -> np.ndarray:
        """Map actions `[L, A]` to a model's numbers, clipped."""
        return self.action.normalize(actions)

    @classmethod
    def select(
        cls,
        norm_stats: Mapping[str, Any],
        key: str | None = None,
        normalization: str = 'bounds_q99',
        epsilon: float = 0.0,
    ) -> Statistics:
        """
        Return the statistics of one data set; with a single one the key may be left out.

        Those that `norm_stats` holds ready are returned as they are.

        Raises CheckpointError listing the known keys when the key is unknown or needed.
        """
        known = sorted(norm_stats)
        if key is None and len(known) == 1:
            key = known[0]
        if key is None or key not in norm_stats:
            raise CheckpointError(f'unnorm_key: expected one of {known}, found {key!r}')
        if isinstance(norm_stats[key], Statistics):
            return norm_stats[key]
        entry = mapping(f'statistics of {key}', norm_stats[key])
        if 'action' not in entry:
            raise CheckpointError(f"statistics of {key}: expected the key 'action', found none")
        action = Bounds.from_dict(entry['action'], f'statistics of {key}.action', normalization)
        proprio = None
        if entry.get('proprio'):
            proprio = Bounds.from_dict(
                entry['proprio'], f'statistics of {key}.proprio', normalization
            )
        return cls(key, action, proprio, epsilon)


@dataclass(frozen=True)
class ActionTokens:
    """Map normalised actions to token ids and back: the vocabulary's last ids, downwards."""

    vocab_end: int
    bins: int = 256

    def decode(self, ids: np.ndarray) -> np.ndarray:
        """Map ids `[...]` to float64 in [-1, 1]; ids outside the bins clip to an end."""
        edges = np.linspace(-1.0, 1.0, self.bins)
        centers = (edges[:-1] + edges[1:]) / 2  # [bins - 1]
        index = np.clip(self.vocab_end - np.asarray(ids) - 1, 0, self.bins - 2)
        return centers[index]

    def encode(self, values: np.ndarray) -> np.ndarray:
        """
        Map normalised values `[...]` to the int64 ids that OpenVLA is taught with; others clip.

        Only 1.0 itself takes the last of the ids, which decodes as its neighbour does.
        """
        edges = np.linspace(-1.0, 1.0, self.bins)
        return self.vocab_end - np.digitize(np.clip(values, -1.0, 1.0), edges)
