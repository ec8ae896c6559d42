# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gate that recomputes everything at every n-th step, and nothing in between."""

from fake_cache import FakeCache
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import EveryGate
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.evaluation.comparison.compare import load_policy
from vla_cache_ros.evaluation.comparison.entries import parse_entry
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint


@pytest.fixture(scope='module', params=[False, True], ids=['oft', 'causal'])
def vla(request, tmp_path_factory):
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp('model'), request.param))


def look(vla, seed, instruction='pick up the red cube'):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (vla.config.cameras, 224, 224, 3), dtype=np.uint8)
    return Observation(tuple(images), instruction, np.linspace(-0.5, 0.5, 8).astype(np.float32))


def rhythm(gate, count=9, asked=None, invalid_at=-1):
    """Return how many tokens each plan of an episode recomputes, and the reasons given."""
    cache, counts, reasons = FakeCache(), [], []
    frame = np.zeros((2, 224, 224, 3), np.uint8)  # what it shows is nothing to this gate
    for step in range(count):
        if step == invalid_at:
            cache.invalidate('gap_too_long')
        if asked and step in asked:
            gate.ask(asked[step])
        plan = gate.plan(frame, cache)
        cache.apply(frame, plan)
        counts.append(int(plan.active.sum()))
        reasons.append(plan.refresh)
    return counts, reasons


@pytest.mark.parametrize(
    ('reuse', 'n'),
    [(None, 2), (0.0, 1), (0.5, 2), (0.66, 3), (2 / 3, 3), (0.7, 3), (0.75, 4), (0.8, 5)],
)
def test_the_share_asked_for_says_at_which_steps_everything_is_recomputed(reuse, n):
    gate = make_gate('every', reuse=reuse)
    counts, reasons = rhythm(gate)
    assert gate.steps == n
    assert counts == [0 if step % n else 512 for step in range(9)]
    assert reasons == ['first_step'] + [''] * 8  # a step whose turn it is was chosen, not forced


def test_an_invalid_cache_gets_a_full_plan_with_its_reason_and_the_count_begins_there():
    counts, reasons = rhythm(make_gate('every', reuse=2 / 3), invalid_at=4)
    assert counts == [512, 0, 0, 512, 512, 0, 0, 512, 0]
    assert reasons == ['first_step', '', '', '', 'gap_too_long', '', '', '', '']


def test_no_token_outlives_the_maximum_age_whatever_is_asked_for():
    gate = make_gate('every', reuse=1.0, max_age=3)
    assert gate.steps == 4 and rhythm(gate)[0] == [512, 0, 0, 0] * 2 + [512]
    assert rhythm(make_gate('every', reuse=0.9, max_age=0))[0] == [512] * 9


def test_tokens_that_an_episode_has_never_computed_are_not_taken_for_cached():
    cache, frame = FakeCache(), np.zeros((2, 224, 224, 3), np.uint8)
    half = np.arange(512) < 256
    cache.commit(half, np.zeros((512, 588), np.uint8))
    assert make_gate('every').plan(frame, cache).active.all()


def test_more_reuse_is_asked_for_within_an_episode_and_given_back():
    gate = make_gate('every', reuse=0.5)
    counts, _ = rhythm(gate, 13, {3: 0.75, 9: 0.5})
    # ages 1 and 3 at the two changes: step 3 goes on towards four, step 9 is due at two
    assert [step for step, count in enumerate(counts) if count] == [0, 2, 6, 9, 11]
    with pytest.raises(ValueError, match='reuse: expected at most 0.85'):
        gate.ask(0.9)
    assert gate.steps == 2


def test_recovery_is_checked_though_it_has_no_effect():
    with pytest.raises(ValueError, match='recovery: expected a share'):
        make_gate('every', recovery=2)
    assert not hasattr(EveryGate(), 'recovery')  # so that nobody is made to believe in it


@pytest.mark.parametrize('towers', [True, False])
@pytest.mark.parametrize('capture', [True, False])
def test_full_steps_act_as_dense_and_the_others_compute_no_visual_token(vla, towers, capture):
    options = {'reuse_towers': towers, 'capture': capture}
    every = Policy(vla, make_gate('every', reuse=2 / 3), **options)
    dense = Policy(vla, make_gate('dense'), **options)
    parted = 0.0
    for step in range(7):
        chunk, report = every.act(look(vla, step))
        expected = dense.act(look(vla, step))[0].normalized
        assert report.refresh == ('' if step else 'first_step')
        assert report.ages.min() == report.ages.max() == step % 3
        if step % 3:
            assert report.reuse == 1 and not report.active.any()
            assert np.isfinite(chunk.normalized).all()
            parted = max(parted, np.abs(chunk.normalized - expected).max())
        else:
            assert report.reuse == 0 and report.active.all()
            np.testing.assert_allclose(chunk.normalized, expected, rtol=0, atol=1e-5)
    # otherwise this shows nothing; the small model's tokens are the same whatever it sees
    assert parted > 1e-4 or not vla.config.bidirectional


def test_on_a_picture_that_stands_still_nothing_is_lost(vla):
    every, dense = Policy(vla, make_gate('every')), Policy(vla, make_gate('dense'))
    for step in range(4):
        chunk, report = every.act(look(vla, 0))
        expected, _ = dense.act(look(vla, 0))
        assert report.reuse == step % 2
        np.testing.assert_allclose(chunk.normalized, expected.normalized, rtol=0, atol=1e-5)


def test_an_episode_repeats_itself_after_a_reset(vla):
    policy = Policy(vla, make_gate('every'))

    def episode():
        return [policy.act(look(vla, step)) for step in range(3)]  # ends in mid-rhythm

    first = episode()
    policy.reset()
    for (chunk, report), (again, repeated) in zip(first, episode(), strict=True):
        np.testing.assert_array_equal(chunk.actions, again.actions)
        assert report.reuse == repeated.reuse


def test_a_comparison_runs_it_by_its_share_and_refuses_what_it_does_not_have(tmp_path):
    folder = str(write_checkpoint(tmp_path))
    policy = load_policy(parse_entry('every,reuse=0.75'), folder)
    assert (policy.gate.name, policy.gate.steps) == ('every', 4)
    with pytest.raises(ValueError, match="expected a gate with recovery, got 'every'"):
        load_policy(parse_entry('every,recovery=0'), folder)
