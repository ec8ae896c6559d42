# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training shows tokens of earlier frames of an episode, and leaves half the samples alone."""

from types import SimpleNamespace

import numpy as np
import torch

from recipes.staleness import OLDEST
from recipes.staleness import with_stale_tokens

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


def test_frames_recorded_with_a_gate_are_shown_as_it_had_them():
    tokens = np.arange(25)[:, None, None] + np.zeros((1, TOKENS, 1))  # [frames, V, 1]
    rng = np.random.default_rng(0)
    begins = np.repeat([0, 1, 13], [1, 12, 12])
    ages = rng.integers(0, 5, (25, TOKENS)).astype(np.uint8)
    table = {'episode': EPISODES, 'ages': ages}
    frames = SimpleNamespace(table=table, images=lambda rows: tokens[rows])
    rows = np.arange(25)
    features = torch.from_numpy(tokens).float()
    expected = np.maximum(rows[:, None] - ages, begins[:, None])  # never of the episode before
    seen = np.zeros(25)
    for _ in range(40):
        found = with_stale_tokens(frames, rows, features, 0.7, rng)[..., 0].numpy()
        recorded = (found != rows[:, None]).any(1)
        np.testing.assert_array_equal(found[recorded], expected[recorded])
        seen += recorded
    assert (seen[2:13] > 8).all() and (seen[2:13] < 32).all()  # of 40
    assert torch.equal(features[..., 0], torch.arange(25)[:, None].expand(-1, TOKENS).float())


def test_frames_recorded_without_a_gate_beside_others_are_shown_as_drawn():
    tokens = np.arange(25)[:, None, None] + np.zeros((1, TOKENS, 1))  # [frames, V, 1]
    ages = np.where(EPISODES == 8, 2, 0)[:, None].repeat(TOKENS, 1).astype(np.uint8)
    table = {'episode': EPISODES, 'ages': ages}
    frames = SimpleNamespace(table=table, images=lambda rows: tokens[rows])
    rows = np.arange(25)
    features = torch.from_numpy(tokens).float()
    rng = np.random.default_rng(0)
    partly = np.zeros(25)
    for _ in range(40):
        stale = (with_stale_tokens(frames, rows, features, 0.7, rng) != features)[..., 0].numpy()
        assert set(stale[2:13].mean(1)) <= {0.0, 1.0}  # all tokens are as old
        partly += (stale.mean(1) > 0) & (stale.mean(1) <= 0.7)
    assert (partly[14:] > 8).all()
