# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training shows tokens of earlier frames of an episode, and leaves half the samples alone."""

from types import SimpleNamespace

import numpy as np
import torch
from vla_cache_ros.training.staleness import OLDEST
from vla_cache_ros.training.staleness import with_stale_tokens

EPISODES = np.repeat([7, 8, 9], [1, 12, 12])
TOKENS = 40


def shown(most, seed=0):
    """Return which frame [rows, tokens] each shown token is of; token t of frame f has f + t."""
    tokens = np.arange(25)[:, None, None] + np.zeros((1, TOKENS, 3))  # [frames, V, F]
    frames = SimpleNamespace(table={'episode': EPISODES}, images=lambda rows: tokens[rows])
    rows = np.arange(25)
    features = torch.from_numpy(tokens).float()
    found = with_stale_tokens(frames, rows, features, most, np.random.default_rng(seed))
    assert torch.equal(found, found[..., :1].expand(-1, -1, 3))  # a token is of one frame
    return found[..., 0].numpy().astype(int)


def test_stale_tokens_are_of_the_same_episode_and_at_most_three_frames_old():
    now = np.arange(25)[:, None]
    for seed in range(20):
        found = shown(1.0, seed)
        ages = now - found
        assert ages.min() >= 0 and ages.max() <= OLDEST
        assert (EPISODES[found] == EPISODES[now]).all()


def test_about_half_the_samples_stay_as_they_are_and_no_share_is_above_the_largest():
    shares = np.concatenate(
        [(shown(0.6, seed) != np.arange(25)[:, None]).mean(1) for seed in range(40)]
    )
    assert shares.max() <= 0.6 and shares.max() > 0.5
    assert 0.45 < (shares == 0).mean() < 0.65  # the first frames of episodes as well


def test_tokens_that_changed_more_are_rather_shown_anew():
    changes = np.linspace(0.01, 10, TOKENS)[None, :, None]
    tokens = np.arange(2)[:, None, None] * changes  # [frames, V, 1]
    frames = SimpleNamespace(table={'episode': np.zeros(2)}, images=lambda rows: tokens[rows])
    rows = np.ones(500, int)
    features = torch.from_numpy(tokens[rows]).float()
    found = with_stale_tokens(frames, rows, features, 0.8, np.random.default_rng(0))
    stale = (found != features)[..., 0].float().mean(0)  # [V]
    assert stale[:10].mean() > 2 * stale[-10:].mean()
