# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a cache remembers, what a plan may say and what it saves, without a model."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import SlotPool
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.patches import PATCH_VALUES
from vla_cache_ros.caching.plans import check_plan
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.plans import produced
from vla_cache_ros.caching.plans import reuse_share
from vla_cache_ros.caching.provenance import Provenance
from vla_cache_ros.types import StepPlan

ALL, NONE = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
TWO, ONE = np.array([1, 1, 0, 0], dtype=bool), np.array([1, 0, 0, 0], dtype=bool)


@pytest.mark.parametrize(
    ('plan', 'line'),
    [
        (StepPlan(ALL[:3]), 'plan: expected bool [4] for each layer, found bool [3]'),
        (StepPlan(np.ones(4)), 'plan: expected bool [4] for each layer, found float64 [4]'),
        (StepPlan(ALL[None]), 'plan: expected bool [4] for each layer, found bool [1, 4]'),
        (
            StepPlan(ALL, ((1, ALL[:2]),)),
            'plan: expected bool [4] for each layer, found bool [2]',
        ),
        (StepPlan(ALL, ((3, TWO),)), 'plan: expected ascending layers below 3, found 3'),
        (StepPlan(ALL, ((-2, TWO),)), 'plan: expected ascending layers below 3, found -2'),
        (
            StepPlan(ALL, ((1, TWO), (1, ONE))),
            'plan: expected ascending layers below 3, found 1',
        ),
        (
            StepPlan(ALL, ((2, TWO), (0, ONE))),
            'plan: expected ascending layers below 3, found 0',
        ),
        (StepPlan(ONE, ((1, TWO),)), 'plan: expected layer 1 to keep a subset of tokens'),
        (
            StepPlan(ALL, ((0, ONE), (2, TWO))),
            'plan: expected layer 2 to keep a subset of tokens',
        ),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_what_was_expected(plan, line):
    with pytest.raises(ValueError) as caught:
        check_plan(plan, 4, 3)
    assert str(caught.value) == line


def test_a_plan_may_shrink_at_every_layer_and_keep_what_it_has():
    for layers in ((), ((0, ALL),), ((0, TWO), (1, TWO), (2, NONE))):
        check_plan(StepPlan(ALL, layers), 4, 3)


def test_only_what_is_cached_may_be_dropped_on_the_way():
    plan = StepPlan(TWO, ((1, ONE),))
    check_plan(plan, 4, 3)
    check_plan(plan, 4, 3, present=TWO)
    check_plan(StepPlan(TWO), 4, 3, present=NONE)  # the rest is computed at every layer, or absent
    check_plan(StepPlan(TWO, ((1, TWO),)), 4, 3, present=NONE)
    with pytest.raises(ValueError) as caught:
        check_plan(plan, 4, 3, present=ONE)
    assert str(caught.value) == 'plan: expected tokens that are not cached to stay at every layer'


def test_share_counts_the_token_layers_that_come_from_the_cache():
    assert reuse_share(StepPlan(ALL), 3) == 0
    assert reuse_share(StepPlan(NONE), 3) == 1
    assert reuse_share(StepPlan(TWO), 3) == 0.5
    assert reuse_share(StepPlan(ALL, ((1, TWO), (2, ONE))), 4) == (0 + 2 + 3 + 3) / 16
    # absent tokens are neither computed nor cached
    assert reuse_share(StepPlan(ONE), 2, absent=2) == 0.25
    assert reuse_share(StepPlan(TWO, ((1, ONE),)), 2, absent=1) == (1 + 2) / 8


def test_what_counts_as_produced_went_through_every_layer():
    assert produced(StepPlan(TWO)) is TWO
    assert produced(StepPlan(ALL, ((1, TWO), (2, ONE)))) is ONE
    plan = full_plan(4, 'a reason')
    assert plan.active.tolist() == [True] * 4 and plan.active.dtype == bool
    assert (plan.refresh, plan.layers) == ('a reason', ())


def test_provenance_begins_empty_and_notes_what_each_step_produced():
    cache = Provenance(4)
    assert (cache.step, cache.valid, cache.cause) == (0, False, '')
    assert cache.pixels.shape == (4, PATCH_VALUES) and not cache.pixels.any()
    assert cache.pixels.dtype == np.uint8 and cache.produced_step.dtype == np.int64
    assert not cache.present.any() and cache.ages().tolist() == [1] * 4
    cache.cause = 'gap_too_long'
    cache.commit(ALL, np.full((4, PATCH_VALUES), 7, np.uint8))
    cache.commit(TWO, np.full((4, PATCH_VALUES), 9, np.uint8))
    assert (cache.step, cache.valid, cache.cause) == (2, True, '')
    assert cache.produced_step.tolist() == [1, 1, 0, 0]
    assert cache.ages().tolist() == [1, 1, 2, 2] and cache.present.all()
    assert cache.pixels[:, 0].tolist() == [9, 9, 7, 7]


def filled(**sizes):
    """Return a cache of one camera after a step, with something in every buffer."""
    config = LlamaConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, **sizes
    )
    layout = SlotLayout(cameras=1, actions=7)
    pool = SlotPool(config, layout.size, torch.zeros(1))
    cache = EpisodeCache(layout.visual_tokens, pool, [torch.zeros(2, 5)])
    cache.commit(np.ones(256, dtype=bool), np.full((256, PATCH_VALUES), 7, np.uint8))
    for buffer in cache._buffers():
        buffer.fill_(1.0)
    cache.attention = object()
    return cache, layout


def test_buffers_hold_every_slot_of_every_layer():
    cache, layout = filled()
    assert len(cache.layers) == 3 and len(cache.kv.layers) == 3
    for layer in cache.layers:
        assert layer.keys.shape == layer.values.shape == (1, 2, layout.size, 8)
        assert layer.get_max_length() == layer.get_max_cache_shape() == layout.size
        assert layer.window is cache.window
    assert cache.memory_bytes() == 4 * (2 * 5 + 3 * 2 * 2 * layout.size * 8)
    assert cache.dtype == torch.float32
    assert filled(head_dim=16)[0].layers[0].keys.shape[3] == 16


def test_a_write_goes_to_the_windows_rows_and_shows_what_is_visible():
    cache, _ = filled()
    layer, cache.window.visible = cache.layers[0], 4
    cache.window.rows = torch.tensor([2, 0])
    new = torch.arange(32.0).reshape(1, 2, 2, 8)
    keys, values = layer.update(new, -new)
    assert keys.shape == values.shape == (1, 2, 4, 8)
    assert torch.equal(keys[:, :, [2, 0]], new) and torch.equal(values[:, :, [2, 0]], -new)
    assert (keys[:, :, [1, 3]] == 1).all() and (values[:, :, [1, 3]] == 1).all()
    assert layer.get_seq_length() == 4 and layer.get_mask_sizes(2) == (4, 0)
    layer.lazy_initialization(new, new)
    assert torch.equal(layer.keys[:, :, [2, 0]], new) and layer.is_initialized


@pytest.mark.parametrize('cause', ['gap_too_long', 'episode_reset'])
def test_invalidation_leaves_nothing_that_could_be_used(cause):
    cache, _ = filled()
    cache.invalidate(cause)
    assert (cache.valid, cache.cause, cache.attention) == (False, cause, None)
    assert cache.invalidations == {cause: 1} and type(next(iter(cache.invalidations))) is str
    assert cache.produced_step.tolist() == [-1] * 256
    assert not any(buffer.any() for buffer in (*cache.towers, cache.layers[2].values))
    assert not any(layer.keys.any() or layer.values.any() for layer in cache.layers)
    # within an episode a gate may still compare with the pixels of before
    begun_anew = cause == 'episode_reset'
    assert cache.step == (0 if begun_anew else 1)
    assert cache.pixels.any() != begun_anew


def test_a_cause_without_a_name_changes_nothing():
    cache, _ = filled()
    with pytest.raises(ValueError, match='boredom'):
        cache.invalidate('boredom')
    assert cache.valid and cache.present.all() and not cache.invalidations
