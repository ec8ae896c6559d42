# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the learned gates to their budget and to their episode."""

from fake_cache import FakeCache
from gate_samples import frames
from gate_samples import gate_of
from gate_samples import NAMES
from gate_samples import play
from gate_samples import saved
from gate_samples import write_gate
import numpy as np
import pytest
from scenery import view
import torch
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.caching.selection import refresh_quota


@pytest.mark.parametrize('name', NAMES)
def test_an_invalid_cache_gets_a_full_plan_that_says_why(name, folder):
    gate, cache = gate_of(name, folder), FakeCache()
    plan = gate.plan(view(), cache)
    assert plan.active.shape == (512,) and plan.active.all() and plan.refresh == 'first_step'
    cache.apply(view(), plan)
    assert not gate.plan(view(), cache).refresh
    cache.invalidate('gap_too_long')
    assert (
        gate.plan(255 * (view() < 128).astype(np.uint8), cache).refresh == 'gap_too_long'
    )  # and no cut
    assert gate.ratio == 0


@pytest.mark.parametrize('name', NAMES)
def test_a_first_step_computes_its_share_by_score_and_the_second_adds_the_rest(name, tmp_path):
    gate = gate_of(name, write_gate(tmp_path / 'gate', first_share=0.75), reuse=0.6, recovery=0)
    first, second, *later = play(gate)
    assert first.refresh == 'first_step' and first.active.sum() == 384
    assert first.scores[first.active].min() >= first.scores[~first.active].max()
    budget = budget_size(512, gate.reuse if name == 'learned-fixed' else 0.9, gate.max_age)
    assert second.active[~first.active].all() and not second.refresh
    # of the budget, what age demands may fall on those that are added anyway
    assert second.active.sum() >= 128 + budget - refresh_quota(512, gate.max_age)
    if name == 'learned-fixed':
        assert second.active.sum() <= 128 + budget
        assert [plan.active.sum() for plan in later] == 4 * [budget]
    cache = FakeCache()
    cache.apply(view(), gate.plan(view(), cache))
    cache.invalidate('gap_too_long')
    assert gate.plan(view(), cache).active.all()  # the arm may be at work
    whole = gate_of(name, write_gate(tmp_path / 'whole', first_share=1.0))
    assert play(whole)[0].active.all()


@pytest.mark.parametrize('reuse', [0.0, 0.3, 0.7, 0.95])
def test_the_fixed_gate_recomputes_exactly_the_budget(folder, reuse):
    plans = play(gate_of('learned-fixed', folder, reuse=reuse))
    assert [int(plan.active.sum()) for plan in plans[1:]] == [round(512 * (1 - reuse))] * 5
    assert plans[0].refresh and not any(plan.refresh for plan in plans[1:])


@pytest.mark.parametrize('reuse', [0.2, 0.5, 0.9])
def test_the_learned_gate_recomputes_exactly_what_its_ratio_leaves(folder, reuse):
    gate, cache = gate_of('learned', folder, reuse=reuse), FakeCache()
    for index, frame in enumerate(frames(6)):
        plan = gate.plan(frame, cache)
        cache.apply(frame, plan)
        if index:
            assert gate.ratio in GateConfig().ratios
            assert plan.active.sum() == budget_size(512, gate.ratio, gate.max_age)
            assert gate.probabilities.sum() == pytest.approx(1)
            assert GateConfig().ratios[gate.probabilities.argmax()] == gate.ratio
        else:
            assert gate.ratio == 0 and gate.probabilities is None


@pytest.mark.parametrize('name', NAMES)
def test_plans_carry_scores_and_take_the_highest(name, folder):
    gate = gate_of(name, folder, reuse=0.5, max_age=10**6, recovery=0)
    for plan in play(gate)[1:]:
        scores = plan.scores
        assert scores.dtype == np.float32 and scores.shape == (512,)
        assert scores.min() >= 0 and scores.max() <= 1 and np.ptp(scores) > 0.01
        if not plan.active.all():
            assert scores[plan.active].min() >= scores[~plan.active].max()


def test_no_token_is_reused_beyond_the_maximum_age(folder):
    gate, cache = gate_of('learned', folder, reuse=0.9, max_age=5, recovery=0), FakeCache()
    oldest = 0
    for step in range(20):
        frame = view(step % 3, 0)
        ages = cache.ages().copy()
        reused = ~cache.apply(frame, gate.plan(frame, cache))
        oldest = max(oldest, ages[reused].max(initial=0))
    assert 0 < oldest <= 5


def test_a_higher_requested_reuse_never_lowers_the_chosen_ratio():
    logits = np.random.default_rng(0).normal(0, 3, (200, len(GateConfig().ratios)))
    requests = np.linspace(0.2, 0.9, 15)
    gates = [LearnedGate(saved(), reuse) for reuse in requests]
    chosen = np.array([[gate.choose_ratio(row) for row in logits] for gate in gates])
    assert (np.diff(chosen, axis=0) >= 0).all()
    assert chosen[0].mean() < 0.35 < 0.7 < chosen[-1].mean()
    assert [gate.bias for gate in gates] == sorted(gate.bias for gate in gates)


def test_bias_is_interpolated_and_the_default_is_used_where_nobody_asks():
    assert LearnedGate(saved(), 0.7).bias == pytest.approx(4)
    assert LearnedGate(saved()).bias == 0 and LearnedGate(saved()).reuse == 0.5


@pytest.mark.parametrize('reuse', [0.1, 0.95])
def test_a_reuse_outside_the_calibration_is_refused_with_its_range(folder, reuse):
    with pytest.raises(ValueError, match=f'reuse: expected 0.2 to 0.9, .* found {reuse}'):
        gate_of('learned', folder, reuse=reuse)
    assert gate_of('learned-fixed', folder, reuse=reuse).reuse == reuse


@pytest.mark.parametrize('name', NAMES)
def test_the_same_episode_gives_the_same_plans(name, folder):
    gate = gate_of(name, folder, reuse=0.7, seed=3)
    first = np.stack([plan.active for plan in play(gate)])
    gate.reset()
    assert np.array_equal(first, np.stack([plan.active for plan in play(gate)]))
    again = gate_of(name, folder, reuse=0.7, seed=3)
    assert np.array_equal(first, np.stack([plan.active for plan in play(again)]))
    other = gate_of('learned-fixed', folder, reuse=0.7, seed=4)
    assert not np.array_equal(first, np.stack([plan.active for plan in play(other)]))


@pytest.mark.parametrize('name', NAMES)
def test_a_camera_cut_is_a_named_full_step_and_the_next_is_not(name, folder):
    gate, cache = gate_of(name, folder, reuse=0.8), FakeCache()
    cut = view()
    cut[1] = 255 * (cut[1] < 128)  # one camera is enough
    refreshes = []
    for frame in (view(), view(), cut, cut):
        plan = gate.plan(frame, cache)
        refreshes.append(plan.refresh)
        assert plan.active.all() or not plan.refresh
        cache.apply(frame, plan)
    assert refreshes == ['first_step', '', 'camera_cut', '']


def test_another_number_of_cameras_is_refused(folder):
    with pytest.raises(ValueError, match='images: expected 2 cameras, found 1'):
        gate_of('learned', folder).plan(view()[:1], FakeCache(256))


def test_an_instruction_reaches_the_scores_and_has_to_come_first():
    made = saved(language_dim=8)
    torch.nn.init.normal_(made.network.trunk.film.weight)

    def scores(words):
        gate = LearnedGate(made)
        if words is not None:
            gate.instruct(words)
        return play(gate, 2)[1].scores

    assert not np.allclose(scores(torch.arange(8.0)), scores(-torch.arange(8.0)), atol=1e-3)
    with pytest.raises(ValueError, match='gate language: expected'):
        scores(None)
    with pytest.raises(ValueError, match=r'expected \[8\], found \[9\]'):
        scores(torch.zeros(9))


def test_a_plan_never_touches_the_number_of_threads(folder, monkeypatch):
    gate = gate_of('learned', folder)

    def refuse(count):
        raise AssertionError('switched')

    monkeypatch.setattr(torch, 'set_num_threads', refuse)
    assert [plan.refresh for plan in play(gate, 3)] == ['first_step', '', '']
