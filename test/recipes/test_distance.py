# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The distance to the dense model is zero for the dense gate and grows with what is reused."""

import json

import numpy as np
import pytest

from recipes.distance import run_distance
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    collect(folder, 12, 77, disturbed_expert(np.random.default_rng(0)), shard=12)
    return folder


def test_dense_is_at_no_distance_and_reuse_costs(shards, tmp_path):
    out = tmp_path / 'distance.json'
    gates = ['dense', 'random', 'effects', 'effects-when-new']
    rows = run_distance([shards], gates, [0.8], 'tabletop', 1, out, 4)
    assert json.loads(out.read_text())['rows'] == rows
    dense, chance, halfway, new = rows
    assert dense['mean'] < 1e-6 and dense['reused'] == 0
    assert chance['mean'] > 1e-3
    assert halfway['mean'] < chance['mean'] and halfway['mean'] != new['mean']
    for row in rows[1:]:
        assert row['reused'] == pytest.approx(0.8, abs=0.01)
        assert row['steps'] == dense['steps'] > 0
