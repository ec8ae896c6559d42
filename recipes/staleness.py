# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Show a model visual tokens of earlier frames among the present ones, as a gate will.

Which tokens, a gate decided when the frames were recorded; without one, those that change little.
"""

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.training.frames import Frames

OLDEST = 3  # frames ago
SPREAD = 1.0  # of the logarithm of a token's change: how far the choice is from the least changed


def with_stale_tokens(
    frames: Frames, rows: np.ndarray, features: Tensor, most: float, rng: np.random.Generator
) -> Tensor:
    """
    Return features `[B, V, F]` of which some tokens are those of an earlier frame.

    Half of the samples stay as they are, as does the first frame of an episode. Of each other one
    a share of the tokens, drawn evenly up to `most`, is replaced: those that changed little come
    first, more or less. A frame that was recorded with a gate at work, which its `ages` tell, is
    shown as that gate had it instead.
    """
    ages = frames.table.get('ages')
    recorded = np.zeros(len(rows), bool) if ages is None else ages[rows].any(1)
    gated, others = torch.from_numpy(recorded), torch.from_numpy(~recorded)
    shown = torch.empty_like(features)
    if recorded.any():
        shown[gated] = _as_recorded(frames, rows[recorded], features[gated], rng)
    if not recorded.all():
        shown[others] = _as_drawn(frames, rows[~recorded], features[others], most, rng)
    return shown


def _as_drawn(
    frames: Frames, rows: np.ndarray, features: Tensor, most: float, rng: np.random.Generator
) -> Tensor:
    """Return features `[B, V, F]`, half of the samples with some tokens of one earlier frame."""
    earlier = _earlier(frames.table['episode'], rows, rng)
    before = torch.from_numpy(frames.images(earlier)).float()  # [B, V, F]
    share = most * rng.random((len(rows), 1)) * (rng.random((len(rows), 1)) < 0.5)  # [B, 1]
    change = (features - before).norm(dim=-1).numpy()  # [B, V]
    drawn = np.log(change + 1e-6) + SPREAD * rng.normal(size=change.shape)
    rank = drawn.argsort(1).argsort(1)  # [B, V]
    stale = torch.from_numpy(rank < share * change.shape[1])
    return torch.where(stale[..., None], before, features)


def _as_recorded(
    frames: Frames, rows: np.ndarray, features: Tensor, rng: np.random.Generator
) -> Tensor:
    """Return features `[B, V, F]`, half of the samples with every token as old as it was."""
    episodes = frames.table['episode']
    _, begins, of = np.unique(episodes, return_index=True, return_inverse=True)
    shown = features.clone()
    for sample in np.flatnonzero(rng.random(len(rows)) < 0.5):
        row = rows[sample]
        # an episode's earliest frames may be another process's
        sources = np.maximum(row - frames.table['ages'][row].astype(int), begins[of[row]])  # [V]
        for source in np.unique(sources[sources < row]):
            pick = torch.from_numpy(sources == source)
            before = torch.from_numpy(frames.images(np.array([source]))[0]).float()  # [V, F]
            shown[sample, pick] = before[pick]
    return shown


def _earlier(episodes: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return for each row one of up to OLDEST before it, of the same episode."""
    found = rows.copy()
    for _ in range(OLDEST):
        before = np.maximum(found - 1, 0)
        step = (episodes[before] == episodes[rows]) & (
            (found == rows) | (rng.random(len(rows)) < 0.5)
        )
        found = np.where(step, before, found)
    return found
