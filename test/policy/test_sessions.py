# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One model serves several robots, each as if it had a policy of its own."""

import numpy as np
import pytest
from tiny_cogact import write_cogact
from tiny_model import write_checkpoint
from vla_cache_ros.batching import act_together
from vla_cache_ros.batching import Request
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.policy import Policy
from vla_cache_ros.policy import SessionsFullError
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import InputError

COUNT = 3
INSTRUCTIONS = ['pick up red cube', 'put red cube on green plate', 'pick up red cube']


@pytest.fixture(scope='module', params=['openvla-oft', 'openvla', 'cogact'])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == 'cogact':
        return write_cogact(folder)
    return write_checkpoint(folder, causal=request.param == 'openvla')


def observe(policy, robot, step):
    random = np.random.default_rng(robot)
    images = [
        random.integers(0, 200, (224, 224, 3), dtype=np.uint8) for _ in range(policy.num_images)
    ]
    for image in images:
        image[60:100, 20 + 20 * step : 60 + 20 * step] = 250
    state = np.full(policy.proprio_size, 0.05 * robot) if policy.proprio_size else None
    return Observation(tuple(images), INSTRUCTIONS[(robot + step // 3) % 3], state)


def sessions(folder, gate='random', **options):
    policy = Policy.from_pretrained(str(folder), gate, reuse=0.6, sessions=COUNT, **options)
    return [policy, *(policy.session(seed) for seed in range(1, COUNT))]


def lone(folder, gate):
    return [
        Policy.from_pretrained(str(folder), gate, reuse=0.6, seed=seed) for seed in range(COUNT)
    ]


@pytest.mark.parametrize('recorder', [None, Direct()], ids=['plain', 'recorded'])
def test_each_session_does_what_a_policy_of_its_seed_does(folder, recorder):
    shared = sessions(folder, recorder=recorder)
    solo = lone(folder, 'random')
    for step in range(5):
        requests = [Request(one, observe(one, i, step)) for i, one in enumerate(shared)]
        for i, (chunk, report) in enumerate(act_together(requests)):
            wanted, said = solo[i].act(observe(solo[i], i, step))
            assert np.abs(chunk.normalized - wanted.normalized).max() < 1e-5
            assert np.array_equal(report.active, said.active)  # its own chance, by its own seed
            assert (report.step, report.reuse) == (said.step, said.reuse)
    actives = {one.act(observe(one, 0, 0))[1].active.tobytes() for one in solo}
    assert len(actives) > 1


def test_rows_that_shrink_and_probes_are_each_ones_too(folder):
    shared = sessions(folder, 'vla-cache')
    solo = lone(folder, 'vla-cache')
    for step in range(4):
        requests = [Request(one, observe(one, i, step)) for i, one in enumerate(shared)]
        for i, (chunk, report) in enumerate(act_together(requests)):
            wanted, said = solo[i].act(observe(solo[i], i, step))
            assert np.abs(chunk.normalized - wanted.normalized).max() < 5e-5
            assert report.reuse == said.reuse
    assert report.reuse > 0


def test_sessions_do_not_see_each_other(folder):
    one, other, _ = sessions(folder, 'motion')
    alone = Policy.from_pretrained(str(folder), 'motion', reuse=0.6)
    for step in range(4):
        found, _ = one.act(observe(one, 0, step))
        other.act(observe(other, 1, 3 - step))
        if step == 2:
            other.reset()
        wanted, _ = alone.act(observe(alone, 0, step))
        assert np.abs(found.normalized - wanted.normalized).max() < 1e-6
    assert 'episode_reset' not in one.invalidations
    assert other.invalidations['episode_reset'] == 1


def test_an_observation_that_does_not_fit_costs_its_own_session_nothing_either(folder):
    shared = sessions(folder)
    act_together([Request(one, observe(one, i, 0)) for i, one in enumerate(shared)])
    bad = Observation((), 'pick up red cube')
    found = act_together([Request(shared[0], observe(shared[0], 0, 1)), Request(shared[1], bad)])
    assert found[0][1].reuse > 0
    assert isinstance(found[1], InputError) and shared[1].cache.valid


def test_more_sessions_than_there_is_room_for_are_refused_in_one_line(folder):
    policy, one, _ = sessions(folder)
    with pytest.raises(SessionsFullError, match=r'at most 3 at a time, of \d+\.\d MB each'):
        policy.session()
    one.close()
    one.close()
    with pytest.raises(ValueError, match='expected an open one'):
        one.act(observe(one, 1, 0))
    again = policy.session(1)
    assert again.act(observe(again, 1, 0))[1].refresh
    with pytest.raises(SessionsFullError):
        policy.session()
    with pytest.raises(ValueError, match='sessions: expected at least 1'):
        Policy.from_pretrained(str(folder), sessions=0)


def test_the_room_of_a_session_that_went_mad_harms_nobody_after_it(folder):
    policy, one, _ = sessions(folder, recorder=Direct())
    for layer in one.cache.layers:
        layer.values.fill_(float('nan'))
    one.close()
    chunk, _ = (again := policy.session(1)).act(observe(again, 1, 0))
    assert np.isfinite(chunk.actions).all()


def test_the_memory_of_a_session_is_what_it_holds(folder):
    policy, one, _ = sessions(folder)
    layers = sum(layer.keys.nbytes + layer.values.nbytes for layer in one.cache.layers)
    towers = sum(tower.nbytes for tower in one.cache.towers)
    assert one.session_bytes == layers + towers + one.cache.pixels.nbytes == policy.session_bytes


def test_two_requests_of_one_session_are_refused(folder):
    policy, *_ = sessions(folder)
    with pytest.raises(ValueError, match='one of each session'):
        act_together([Request(policy, observe(policy, 0, step)) for step in range(2)])
    assert act_together([]) == []


def test_a_gate_that_is_given_is_copied_for_each_session(folder):
    gate = make_gate('motion', reuse=0.6, seed=0)
    policy = Policy(load_checkpoint(folder), gate, sessions=2)
    policy.act(observe(policy, 0, 0))
    other = policy.session()
    assert other.gate is not gate and policy.gate is gate
    assert other.act(observe(other, 1, 0))[1].refresh and policy.cache.valid


def test_the_shadow_of_each_is_what_a_dense_policy_of_its_seed_does(folder):
    shared = sessions(folder)
    for i, one in enumerate(shared):
        one.act(observe(one, i, 0))
    for i, one in enumerate(shared):
        dense = Policy.from_pretrained(str(folder), seed=i)
        wanted, report = dense.act(observe(dense, i, 0))
        found = one.shadow(observe(one, i, 0), report.step)
        np.testing.assert_allclose(found.normalized, wanted.normalized, rtol=0, atol=1e-6)
        assert one.cache.valid and one.cache.step == 1
