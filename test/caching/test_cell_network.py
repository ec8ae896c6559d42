# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network that a gate runs computes what the trained one does, in the calling thread."""

from pathlib import Path

from fake_cache import FakeCache
from gate_samples import network
import numpy as np
import pytest
from scenery import view
import torch
import vla_cache_ros
from vla_cache_ros.caching.gates.cell_network import CellNetwork
from vla_cache_ros.caching.gates.cell_network import LARGEST_PRODUCT
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.caching.selection import select
from vla_cache_ros.vla.files.json_file import read_json

SHIPPED = ['tabletop', 'libero-object']


def shipped(name):
    folder = Path(vla_cache_ros.__file__).parent / 'checkpoints' / name / 'gate'
    said = read_json(folder / 'gate.json')
    fingerprint, cameras = said['model_fingerprint'], said['cameras']
    return load_gate_folder(folder, fingerprint=fingerprint, cameras=cameras)


def words(made, seed=0):
    """Return an instruction for a network that sees language, else None."""
    length = made.config.language_dim
    return torch.randn(length, generator=torch.manual_seed(seed)) if length else None


def scenes(cameras):
    """Return a step's images, those before it, producing patches and ages, for some cameras."""

    def images(right, down, seed):
        return np.concatenate([view(right, down, seed + 2 * i) for i in range(cameras)])[:cameras]

    ages = np.random.default_rng(1).integers(1, 40, 256 * cameras)
    return images(5, 2, 0), images(0, 0, 0), patchify(images(-9, 1, 0)), ages


def both(made, deployed, language):
    """Return logits and ratio logits, as trained and as deployed, of one step that moves."""
    pixels, before, reference, ages = scenes(made.config.cameras)
    motion = MotionInput()
    motion.remember(before)
    planes = torch.from_numpy(motion(pixels, reference, ages))[None]
    assert planes[0, :, 3:6].flatten(2).amax(-1).min() > 0.1  # there is something to see
    with torch.inference_mode():
        trained = made(planes, None if language is None else language[None])
    motion.remember(before)
    return trained, deployed(motion.see(pixels, reference), ages)


@pytest.mark.parametrize(
    'sizes',
    [
        {},
        {'cameras': 1, 'width': 32, 'depth': 3},
        {'cameras': 3, 'depth': 0},
        {'width': 5},
        {'language_dim': 24},
    ],
)
def test_logits_are_those_of_the_trained_network(sizes):
    made = network(**sizes)
    if made.trunk.film is not None:
        torch.nn.init.normal_(made.trunk.film.weight, std=0.1)
        torch.nn.init.normal_(made.trunk.film.bias, std=0.1)
    deployed = CellNetwork(made)
    for seed in range(2):  # buffers are used again, an instruction replaces the last
        language = words(made, seed)
        if language is not None:
            deployed.instruct(language)
        (scores, ratios), (found, found_ratios) = both(made, deployed, language)
        assert found.dtype == np.float32 and np.ptp(found) > 0.1
        assert found == pytest.approx(scores[0].numpy(), abs=2e-5)
        assert found_ratios == pytest.approx(ratios[0].numpy(), abs=2e-5)


@pytest.mark.parametrize('name', SHIPPED)
def test_logits_of_a_shipped_gate_are_those_of_its_trained_network(name):
    made = shipped(name).network
    deployed, language = CellNetwork(made), words(made)
    if language is not None:
        deployed.instruct(language)
    (scores, ratios), (found, found_ratios) = both(made, deployed, language)
    # logits reach tens, where float32 rounds by some 1e-6
    assert found == pytest.approx(scores[0].numpy(), abs=1e-5, rel=1e-6)
    assert found_ratios == pytest.approx(ratios[0].numpy(), abs=1e-5)


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_gate_chooses_what_its_trained_network_would(name):
    saved = shipped(name)
    network, language = saved.network, words(saved.network)
    cameras, tokens = network.config.cameras, network.config.tokens
    gate, cache, motion = LearnedGate(saved), FakeCache(tokens), MotionInput()
    if language is not None:
        gate.instruct(language)
    chance, compared = np.random.default_rng(gate.seed), 0
    for step in range(12):
        pixels = view(3 * step, step)[:cameras]
        first, present, ages = not cache.step, cache.present, cache.ages()
        planes = None
        if first:
            motion.remember(pixels)
        else:
            planes = torch.from_numpy(motion(pixels, cache.pixels, ages))[None]
        plan = gate.plan(pixels, cache)
        if not first:
            with torch.inference_mode():
                scores, ratios = network(planes, None if language is None else language[None])
            ratio = gate.choose_ratio(ratios[0].numpy())
            wanted = np.where(present, scores[0].numpy(), -np.inf)
            budget = budget_size(tokens, ratio, gate.max_age)
            mask = select(wanted, ages, budget, gate.max_age, gate.recovery, chance)
            assert ratio == gate.ratio and np.array_equal(plan.active, mask | ~present)
            compared += 1
        cache.apply(pixels, plan)
    assert compared == 11


def test_what_a_call_returned_stays_when_the_next_one_is_made():
    deployed = CellNetwork(network())
    pixels, _, reference, ages = scenes(2)
    motion = MotionInput()
    found = deployed(motion.see(pixels, reference), ages)
    kept = [part.copy() for part in found]
    deployed(motion.see(255 - pixels, reference), ages + 5)
    assert all(np.array_equal(*pair) for pair in zip(found, kept, strict=True))


def test_no_product_is_so_large_that_blas_would_take_a_second_thread(monkeypatch):
    deployed, sizes, multiply = CellNetwork(shipped('tabletop').network), [], np.matmul

    def watched(left, right, out):
        sizes.append(left.shape[-2] * left.shape[-1] * right.shape[-1])
        return multiply(left, right, out=out)

    monkeypatch.setattr(np, 'matmul', watched)
    pixels, _, reference, ages = scenes(2)
    deployed(MotionInput().see(pixels, reference), ages)
    assert len(sizes) == 2 * 4 and max(sizes) <= LARGEST_PRODUCT
