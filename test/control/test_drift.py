# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drift guard alone: what it costs and when it alarms."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.control.drift_guard import DriftGuard
from vla_cache_ros.control.drift_guard import SHARE

THRESHOLD = 0.2
TIMES = st.floats(0.1, 1000.0)


def run(guard, inferences):
    """Feed inferences (ms, reuse, ms of a check, distance); return indices: checks, refreshes."""
    checks, alarms = [], []
    for index, (ms, reuse, cost, apart) in enumerate(inferences):
        if guard.infer(ms, reuse):
            checks.append(index)
            guard.spend(cost)
            if guard.judge(apart, THRESHOLD):
                alarms.append(index)
    return checks, alarms


def steady(count, apart=0.0, ms=30.0, cost=60.0):
    """Return inferences of which the first is full."""
    return [(cost, 0.0, cost, 0.0)] + [(ms, 0.75, cost, apart)] * (count - 1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(TIMES, st.sampled_from([0.0, 0.7]), st.floats(0.0, 1.0)), max_size=400),
    st.floats(0.1, 1000.0),
)
def test_checks_that_take_what_a_full_step_takes_never_cost_more_than_the_share(steps, cost):
    guard = DriftGuard()
    guard.infer(cost, 0.0)
    for ms, reuse, apart in steps:
        if guard.infer(ms if reuse else cost, reuse):
            guard.spend(cost)
            guard.judge(apart, THRESHOLD)
        assert guard.spent <= SHARE * guard.inferred * (1 + 1e-9)


@settings(deadline=None)
@given(st.lists(st.tuples(TIMES, st.sampled_from([0.0, 0.7]), TIMES, st.floats(0.0, 1.0))))
def test_whatever_checks_take_they_exceed_the_share_by_the_last_two_at_most(steps):
    guard, costs = DriftGuard(), [0.0, 0.0]
    for ms, reuse, cost, apart in steps:
        if guard.infer(ms, reuse):
            costs.append(cost)
            guard.spend(cost)
            guard.judge(apart, THRESHOLD)
        assert guard.spent <= SHARE * guard.inferred + sum(costs[-2:]) + 1e-6


def test_over_a_long_run_checks_come_as_often_as_the_share_allows():
    guard = DriftGuard()
    checks, alarms = run(guard, steady(10_000))
    assert 0.045 < guard.share <= SHARE
    assert set(np.diff(checks)) == {40}  # 60 ms out of 5 % of 30 ms
    assert not alarms


def test_time_saved_while_nothing_was_reused_does_not_pay_for_a_burst():
    guard = DriftGuard()
    run(guard, [(60.0, 0.0, 60.0, 0.0)] * 1000)
    checks, _ = run(guard, [(30.0, 0.75, 60.0, 0.0)] * 100)
    assert checks == [0, 40, 80]


def test_second_check_follows_at_once_and_alarms_once():
    guard = DriftGuard()
    checks, alarms = run(guard, steady(400, apart=0.3))
    assert checks[1] == checks[0] + 1 == alarms[0]
    assert guard.alarms == 1 and guard.alarmed
    assert len(alarms) == len(checks) - 1  # one check is enough while it stands
    run(guard, steady(100, apart=0.1))
    assert guard.alarms == 1 and not guard.alarmed


def test_a_single_excess_is_no_alarm():
    guard = DriftGuard()
    apart = iter([0.3, 0.1] * 50)
    for ms, reuse, cost, _ in steady(2000):
        if guard.infer(ms, reuse):
            guard.spend(cost)
            assert not guard.judge(next(apart), THRESHOLD)
    assert guard.checks > 20 and not guard.alarms


@pytest.mark.parametrize('forget', [lambda guard: guard.reset(), lambda guard: guard.infer(60, 0)])
def test_suspicion_ends_with_the_episode_and_with_a_full_step(forget):
    guard = DriftGuard()
    guard.infer(60.0, 0.0)
    while not guard.infer(30.0, 0.75):
        pass
    guard.spend(60.0)
    assert not guard.judge(0.3, THRESHOLD)
    forget(guard)
    assert not guard.infer(30.0, 0.75)
    guard.spend(60.0)
    assert not guard.judge(0.3, THRESHOLD)


def test_policy_that_reuses_nothing_is_never_checked():
    checks, _ = run(DriftGuard(), [(60.0, 0.0, 60.0, 1.0)] * 1000)
    assert not checks
