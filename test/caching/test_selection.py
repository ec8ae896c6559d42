# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the budget, the age limit, recovery and the patch comparisons to what they promise."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.caching.patches import cosine_similarity
from vla_cache_ros.caching.patches import mean_difference
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.caching.selection import select


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 120),
    reuse=st.floats(0, 1),
    max_age=st.integers(0, 12),
    recovery=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_every_step_of_an_episode_keeps_budget_and_age_limit(
    tokens, reuse, max_age, recovery, seed
):
    generator = np.random.default_rng(seed)
    budget = budget_size(tokens, reuse, max_age)
    ages = np.ones(tokens, dtype=np.int64)  # planned right after a full step
    for _ in range(3 * max_age + 3):
        scores = generator.integers(0, 3, tokens).astype(float)
        mask = select(scores, ages, budget, max_age, recovery, generator)
        assert mask.sum() == budget
        assert (ages[~mask] <= max_age).all()
        ages = np.where(mask, 1, ages + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(0, 20))
def test_age_limit_holds_for_any_ages_even_over_the_budget(ages, max_age):
    ages = np.array(ages)
    mask = select(
        np.zeros(ages.size), ages, min(1, ages.size), max_age, 0, np.random.default_rng(0)
    )
    assert (ages[~mask] <= max_age).all()


@pytest.mark.parametrize('reuse, expected', [(0.0, 512), (0.5, 256), (0.9, 51), (1.0, 25)])
def test_budget_is_the_share_unless_the_age_limit_needs_more(reuse, expected):
    assert budget_size(512, reuse, max_age=20) == expected


def test_highest_scores_are_taken_and_equal_scores_go_to_the_oldest():
    scores = np.array([0.0, 9.0, 0.0, 8.0, 0.0, 0.0])
    ages = np.array([1, 1, 3, 1, 2, 1])
    mask = select(scores, ages, 3, max_age=100, recovery=0, generator=np.random.default_rng(0))
    assert mask.tolist() == [False, True, True, True, False, False]


def test_scores_that_differ_and_scores_that_do_not_are_ordered_alike():
    # the last place is shared in the second list alone: all others keep theirs
    scores = np.random.default_rng(0).permutation(64).astype(np.float32)
    ages = np.ones(64, int)
    shared = np.where(scores == 0, 1, scores)
    masks = [
        select(given, ages, 20, 24, 0.1, np.random.default_rng(1)) for given in (scores, shared)
    ]
    assert np.array_equal(*masks) and masks[0].sum() == 20


def test_a_score_that_is_no_number_comes_last():
    scores = np.array([3.0, np.nan, 1.0, 2.0], dtype=np.float32)
    mask = select(scores, np.ones(4, int), 3, 100, 0, np.random.default_rng(0))
    assert mask.tolist() == [True, False, True, True]


def test_still_images_spread_the_budget_instead_of_preferring_top_rows():
    rows = np.zeros(16)
    for seed in range(40):
        mask = select(np.zeros(256), np.ones(256, int), 64, 100, 0, np.random.default_rng(seed))
        rows += mask.reshape(16, 16).sum(axis=1)
    assert rows.min() > 0.7 * rows.mean() and rows.max() < 1.3 * rows.mean()


def test_recovery_reaches_tokens_whose_score_never_rises():
    scores = np.r_[np.full(10, 9.0), np.full(90, 0.0)] + np.linspace(0, 0.1, 100)
    touched = np.zeros(100, dtype=bool)
    generator = np.random.default_rng(0)
    for _ in range(120):
        mask = select(scores, np.ones(100, int), 10, 10**6, recovery=0.05, generator=generator)
        assert mask.sum() == 10
        touched |= mask
    assert touched.mean() > 0.9
    without = select(scores, np.ones(100, int), 10, 10**6, recovery=0, generator=generator)
    assert without[:10].all() and not without[10:].any()


def test_patches_are_rows_of_one_camera_after_another():
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    patches = patchify(images)
    assert patches.shape == (512, 588)
    token = 256 + 3 * 16 + 5  # second camera, row 3, column 5
    assert np.array_equal(patches[token].reshape(14, 14, 3), images[1, 42:56, 70:84])


@pytest.mark.parametrize(
    'images',
    [
        np.zeros((1, 224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.uint8),
        np.zeros((1, 220, 224, 3), np.uint8),
    ],
)
def test_what_is_no_stack_of_uint8_images_is_refused(images):
    with pytest.raises(ValueError, match='got'):
        patchify(images)


def test_patch_comparisons_agree_with_float64():
    generator = np.random.default_rng(1)
    a = generator.integers(0, 256, (64, 588), dtype=np.uint8)
    b = generator.integers(0, 256, (64, 588), dtype=np.uint8)
    b[:8] = a[:8]
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    expected = (wide_a * wide_b).sum(1) / np.sqrt((wide_a**2).sum(1) * (wide_b**2).sum(1))
    assert mean_difference(a, b) == pytest.approx(np.abs(wide_a - wide_b).mean(1), rel=1e-6)
    assert cosine_similarity(a, b) == pytest.approx(expected, abs=1e-6)


def test_black_patches_are_equal_to_each_other_and_to_nothing_else():
    black, grey = np.zeros((1, 588), np.uint8), np.full((1, 588), 90, np.uint8)
    assert cosine_similarity(black, black)[0] == 1
    assert cosine_similarity(black, grey)[0] == 0
