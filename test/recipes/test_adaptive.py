# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An adaptive share is compared with a fixed one that reuses as much, recording by recording."""

import json

import numpy as np
import pytest

from recipes import knowing
from recipes.adaptive import compared
from recipes.adaptive import run_adaptive
from recipes.knowing import fair_price
from recipes.knowing import one_price
from recipes.knowing import same_share
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert


def test_one_price_spends_where_it_helps_and_costs_least_at_its_mean():
    # effects of 20 tokens each at 30 steps, some steps ten times as sensitive as others
    rng = np.random.default_rng(0)
    effects = -np.sort(-(rng.random((30, 20)) ** 4) * rng.choice([1, 10], (30, 1)))
    costs = np.concatenate([effects, np.zeros((30, 1))], 1)[:, ::-1].cumsum(1)[:, ::-1]
    price = fair_price(costs, 0.7)
    adaptive = np.array([one_price(price)(row) for row in costs])
    assert 1 - adaptive.mean() / 20 == pytest.approx(0.7, abs=0.01)
    fixed = same_share(1 - adaptive.mean() / 20)(costs[0])
    steps = np.arange(30)
    assert costs[steps, adaptive].sum() < 0.9 * costs[steps, fixed].sum()
    assert np.corrcoef(adaptive, effects.sum(1))[0, 1] > 0.5


def test_ratios_are_of_sums_and_their_intervals_over_recordings():
    dense = np.zeros((4, 1, 7), np.float32)
    fixed = dense + np.array([1, 2, 3, 4], np.float32)[:, None, None]
    pair = (fixed / 2, np.array([0.6, 0.7, 0.8, 0.9])), (fixed, np.full(4, 0.75))
    found = compared(pair, dense, [3, 1], executed=1)
    assert found['mean'] == {
        'adaptive': 1.25, 'fixed': 2.5, 'ratio': 0.5, 'ci95': [0.5, 0.5]
    }  # fmt: skip
    assert [found['adaptive_reused'], found['fixed_reused']] == pytest.approx([0.75, 0.75])
    assert found['spread'] == pytest.approx(np.std([0.6, 0.7, 0.8, 0.9]))


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    collect(folder, 12, 77, disturbed_expert(np.random.default_rng(0)), shard=12)
    return folder


def test_both_reuse_equally_much_and_only_one_adapts(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(knowing, 'DRAWS', 1)
    out = tmp_path / 'adaptive.json'
    gates = ['effects-weighed', 'learned']
    rows = run_adaptive([shards], gates, [0.8], 'tabletop', 2, out, 4)
    assert json.loads(out.read_text())['rows'] == rows
    for row in rows:
        assert row['adaptive_reused'] == pytest.approx(row['fixed_reused'], abs=0.005)
        assert row['mean']['adaptive'] > 0 < row['weighed']['fixed']
        assert row['mean']['ci95'][0] <= row['mean']['ratio'] <= row['mean']['ci95'][1]
        assert 0.5 < row['adaptive_reused'] < 0.95
    assert rows[0]['spread'] > 0.01


def test_a_gate_without_a_predictor_is_refused(shards):
    with pytest.raises(ValueError, match=r'gate: expected effects, effects-weighed or learned\['):
        run_adaptive([shards], ['motion'], [0.8], 'tabletop', 2, None, 4)
