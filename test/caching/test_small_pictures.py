# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates of cameras with 64 tokens, whose pictures have sides of 112 pixels."""

from fake_cache import FakeCache
from gate_samples import FINGERPRINT
from gate_samples import network
from gate_samples import saved
from gate_samples import write_gate
import numpy as np
import pytest
from scenery import view
import torch
from vla_cache_ros.caching.gates import LEARNED
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates import RULES
from vla_cache_ros.caching.gates.cell_network import CellNetwork
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.vla_cache import VlaCacheGate
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import reuse_share
from vla_cache_ros.vla.files.errors import CheckpointError

TOKENS = 128  # of two cameras


def small(right=0, down=0):
    return np.ascontiguousarray(view(right, down)[:, :112, :112])


@pytest.mark.parametrize('name', sorted({*RULES, *LEARNED} - {'every', 'vla-cache'}))
def test_every_gate_plans_for_so_many_tokens(name):
    gate = LEARNED[name](saved(grid=8), 0.5) if name in LEARNED else make_gate(name, reuse=0.5)
    cache = FakeCache(TOKENS)
    for step in range(4):
        frame = small(4 * step, step)
        plan = gate.plan(frame, cache)
        assert plan.active.shape == (TOKENS,)
        if not step or name == 'dense':
            assert plan.active.all()
        elif name != 'learned':
            assert plan.active.sum() == TOKENS // 2
        cache.apply(frame, plan)


def test_logits_are_those_of_the_trained_network():
    made = network(grid=8)
    motion, ages = MotionInput(), np.random.default_rng(1).integers(1, 40, TOKENS)
    motion.remember(small())
    reference = patchify(small(-9, 1))
    planes = motion(small(5, 2), reference, ages)
    assert planes.shape == (2, 7, 56, 56)
    with torch.inference_mode():
        scores, ratios = made(torch.from_numpy(planes)[None])
    motion.remember(small())
    found, found_ratios = CellNetwork(made)(motion.see(small(5, 2), reference), ages)
    assert np.ptp(found) > 0.1
    assert found == pytest.approx(scores[0].numpy(), abs=2e-5)
    assert found_ratios == pytest.approx(ratios[0].numpy(), abs=2e-5)


def test_a_folder_keeps_the_grid_and_does_not_fit_larger_pictures(tmp_path):
    folder = write_gate(tmp_path, network(grid=8))
    model = {'fingerprint': FINGERPRINT, 'cameras': 2}
    assert load_gate_folder(folder, **model, tokens=64).network.config.grid == 8
    with pytest.raises(CheckpointError, match=r'number of tokens: expected 512, found 128'):
        load_gate_folder(folder, **model)
    gate = make_gate('learned', folder=folder, **model, tokens=64)
    assert gate.plan(small(), FakeCache(TOKENS)).active.shape == (TOKENS,)


def test_another_grid_is_refused():
    with pytest.raises(ValueError, match=r'grid: expected one of \(8, 16\), found 12'):
        GateConfig(grid=12)


def test_vla_cache_takes_published_numbers_in_proportion():
    gate = VlaCacheGate(None, recovery=0, layers=16)
    cache, frame = FakeCache(TOKENS), small()
    cache.apply(frame, gate.plan(frame, cache))
    attention = np.tile(np.linspace(1, 0, TOKENS), (16, 1))  # of the first tokens most
    cache.attend(attention, np.zeros(16))
    plan = gate.plan(frame, cache)
    # static are 150 of 256 at most, here 75; not reusable the 100 of 256 that matter, here 50
    reused = np.flatnonzero(~plan.layers[-1][1])
    assert 0 < len(reused) <= 75
    assert reused.min() >= 50


def test_vla_cache_does_not_ask_the_layer_that_computes_no_rows():
    gate = make_gate('vla-cache', 0.5, layers=16, asking=15, recovery=0)
    assert gate.probe_layers == tuple(range(15))
    cache, frame = FakeCache(TOKENS), small()
    cache.apply(frame, gate.plan(frame, cache))
    random = np.random.default_rng(0)
    cache.attend(random.random((15, TOKENS)), random.random(15))
    assert reuse_share(gate.plan(frame, cache), 16) == pytest.approx(0.5, abs=0.01)
