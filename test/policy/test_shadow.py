# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A dense shadow step says what the dense policy would do, and leaves no trace in the episode."""

from bench_samples import observe
import numpy as np
import pytest
from tiny_cogact import write_cogact
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import InputError

CAMERAS = {'openvla-oft': 2, 'openvla': 1, 'cogact': 1}


@pytest.fixture(scope='module', params=CAMERAS)
def loaded(request, tmp_path_factory):
    """Return a model of each family, small."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'cogact':
        return load_checkpoint(write_cogact(folder))
    return load_checkpoint(write_checkpoint(folder, causal=request.param == 'openvla'))


def look(vla, seed, instruction='pick up red cube'):
    return observe(seed, CAMERAS[vla.family], instruction)


def test_shadow_of_a_dense_policy_is_what_it_did(loaded):
    policy = Policy(loaded, make_gate('dense'), seed=3)
    for seed in range(3):
        chunk, report = policy.act(look(loaded, seed))
        shadow = policy.shadow(look(loaded, seed), report.step)
        np.testing.assert_allclose(shadow.normalized, chunk.normalized, rtol=0, atol=1e-6)
        np.testing.assert_allclose(shadow.actions, chunk.actions, rtol=0, atol=1e-6)


@pytest.mark.parametrize('capture', [True, False])
def test_shadow_of_a_cached_policy_is_what_a_dense_one_does(loaded, capture):
    cached, dense = (
        Policy(loaded, make_gate(gate, reuse=0.8), seed=3, capture=capture)
        for gate in ('motion', 'dense')
    )
    parted = False
    for seed in range(4):
        chunk, report = cached.act(look(loaded, seed))
        expected, _ = dense.act(look(loaded, seed))
        shadow = cached.shadow(look(loaded, seed), report.step)
        np.testing.assert_allclose(shadow.normalized, expected.normalized, rtol=0, atol=1e-6)
        parted |= not np.array_equal(chunk.normalized, expected.normalized)
    # otherwise this shows nothing; the small model's tokens are the same whatever it sees
    assert parted or loaded.family == 'openvla'


@pytest.mark.parametrize('gate', ['motion', 'random', 'vla-cache'])
def test_shadows_change_nothing_of_what_comes_after(loaded, gate):
    """Actions, plans, ages and what is cached are those of a policy that nobody compared."""
    watched, alone = (Policy(loaded, make_gate(gate, reuse=0.7, seed=5)) for _ in range(2))
    for seed in range(6):
        observation = look(loaded, seed // 2, 'put red cube' if seed > 3 else 'pick up red cube')
        if seed == 3:
            for policy in (watched, alone):
                policy.invalidate('gap_too_long')
        (chunk, report), (expected, plain) = watched.act(observation), alone.act(observation)
        np.testing.assert_array_equal(chunk.actions, expected.actions)
        np.testing.assert_array_equal(report.active, plain.active)
        np.testing.assert_array_equal(report.ages, plain.ages)
        assert (report.step, report.refresh, report.reuse, report.passes) == (
            plain.step, plain.refresh, plain.reuse, plain.passes,
        )  # fmt: skip
        watched.shadow(observation, report.step)
        watched.shadow(look(loaded, 9, 'put on green plate'), 0)
        for buffer, other in zip(watched.cache._buffers(), alone.cache._buffers(), strict=True):
            assert buffer.equal(other)
    assert watched.invalidations == alone.invalidations
    assert watched.gate.generator.random() == alone.gate.generator.random()


def test_bad_observation_is_refused_as_by_act(loaded):
    policy = Policy(loaded, make_gate('motion'))
    with pytest.raises(InputError, match='images: expected'):
        policy.shadow(observe(0, cameras=3), 0)
