# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plain loop gives what the reference gave and what the dense engine gives."""

from dataclasses import fields

from bench_samples import observe
import numpy as np
from paths import DATA
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.evaluation.bench.hf_loop import HFLoop
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.shapes import RandomVLA

GOLDENS = DATA / 'goldens'
BLANK = 29871


@pytest.fixture(scope='module', params=[False, True], ids=['oft', 'causal'])
def vla(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    return load_checkpoint(write_checkpoint(folder, causal=request.param))


def golden(family, name):
    """Return a golden model with the sample's prompt for every instruction, and the sample."""
    sample = np.load(GOLDENS / family / f'{name}.npz')
    loaded = load_checkpoint(GOLDENS / family, need_tokenizer=False)
    given = {field.name: getattr(loaded, field.name) for field in fields(loaded)}
    prompt = (*(int(i) for i in sample['prompt_input_ids'][0]), BLANK)
    return RandomVLA(**given, prompt=prompt), sample


def test_it_acts_as_the_dense_engine_does(vla):
    loop, policy = HFLoop(vla), Policy(vla, make_gate('dense'))
    cameras = policy.num_images
    for step in range(3):
        observation = observe(step, cameras)
        chunk, report = loop.act(observation)
        wanted = policy.act(observation)[0]
        np.testing.assert_allclose(chunk.normalized, wanted.normalized, rtol=0, atol=1e-5)
        np.testing.assert_allclose(chunk.actions, wanted.actions, rtol=0, atol=1e-5)
        assert report.step == step and report.active.shape == (256 * cameras,)


def test_its_stages_fill_the_step(vla):
    loop = HFLoop(vla)
    cameras = 1 if vla.config.oft is None else 2
    for seed in range(2):
        report = loop.act(observe(seed, cameras))[1]
    laps = dict(report.latency_ms)
    total = laps.pop('total')
    assert set(laps) == {'preprocess', 'gate', 'vision', 'decoder', 'decode'}
    assert all(laps[stage] > 0 for stage in ('preprocess', 'vision', 'decoder', 'decode'))
    assert 0.8 * total < sum(laps.values()) <= total


def test_it_says_how_much_its_cache_holds(vla):
    loop = HFLoop(vla)
    causal = vla.config.oft is None
    loop.act(observe(0, 1 if causal else 2))
    text = len(vla.prompt_ids('pick up the red cube'))
    # all but the last token were fed to the decoder
    length = text + 256 + 6 if causal else text + 512 + 1 + 56 + 1
    assert loop.cache_bytes == 4 * 2 * length * 32 * 4


@pytest.mark.parametrize('name', ['traj0', 'traj3', 'noise', 'nonsquare'])
def test_openvla_gives_the_golden_tokens(name):
    vla, sample = golden('openvla', name)
    loop = HFLoop(vla, 'bridge_orig')
    chunk, _ = loop.act(Observation((sample['image'],), 'any'))
    np.testing.assert_array_equal(chunk.normalized[0], sample['normalized_actions'])
    np.testing.assert_allclose(chunk.actions[0], sample['actions_bridge_orig'], atol=1e-12)


def test_openvla_oft_gives_the_golden_actions():
    vla, sample = golden('oft', 'l1_step0')
    observation = Observation(tuple(sample['images']), 'any', sample['state'])
    chunk, _ = HFLoop(vla).act(observation)
    np.testing.assert_allclose(chunk.normalized, sample['normalized_actions'], atol=5e-5)
    np.testing.assert_allclose(chunk.actions, sample['actions'], atol=5e-5)
