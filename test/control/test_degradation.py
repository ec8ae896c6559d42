# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is given up when inferences are too slow: in order, one rung at a time, and taken back."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from vla_cache_ros.control.degradation import AMONG
from vla_cache_ros.control.degradation import Degradation
from vla_cache_ros.control.degradation import ladder
from vla_cache_ros.control.degradation import MOST_DOUBLINGS
from vla_cache_ros.control.degradation import OVERRUNS
from vla_cache_ros.control.degradation import SLACK
from vla_cache_ros.control.degradation import SLACK_RUN
from vla_cache_ros.control.degradation import Stage

ORDER = list(Stage)
RANGES = [None, (None, 0.85), (0.77, 0.85), (0.5, 0.85), (0.9, 0.85), (0.85, 0.85)]


@st.composite
def ladders(draw):
    frequency = draw(st.floats(0.5, 50))
    slowest = frequency * draw(st.sampled_from([1.0, 0.8, 0.5]))
    return ladder(frequency, slowest, draw(st.sampled_from(RANGES)))


def fresh(reuse_range=(0.77, 0.85), slowest=5.0):
    """Return a ladder's state at 10 Hz and four actions: a period of 0.4 s."""
    return Degradation(ladder(10.0, slowest, reuse_range), actions=4)


def period(state):
    return 4 / state.rung.frequency


def slow(state, times=OVERRUNS):
    for _ in range(times):
        state.note(1.1 * period(state))


@settings(deadline=None)
@given(rungs=ladders())
def test_a_ladder_goes_from_nothing_over_more_reuse_and_lower_rates_to_the_stop(rungs):
    stages = [ORDER.index(rung.stage) for rung in rungs]
    assert stages == sorted(stages)
    assert stages[0] == 0 and stages.count(0) == 1
    assert stages[-1] == 3 and stages.count(3) == 1
    rates = [rung.frequency for rung in rungs]
    assert rates == sorted(rates, reverse=True)
    shares = [rung.reuse for rung in rungs if rung.reuse is not None]
    assert shares == sorted(shares)
    assert not shares or shares[-1] == max(shares[0], 0.85)
    different = [(rung.reuse, rung.frequency) for rung in rungs[:-1]]
    assert len(set(different)) == len(different)  # every rung before the stop gives up something


def test_a_dense_gate_is_asked_for_nothing_and_a_learned_one_up_to_its_largest():
    dense, learned = ladder(10.0, 5.0, None), ladder(10.0, 5.0, (0.77, 0.85))
    assert [rung.stage.value for rung in dense] == ['none', *3 * ['slower'], 'stopped']
    assert {rung.reuse for rung in dense} == {None}
    assert [rung.reuse for rung in learned[:3]] == pytest.approx([0.77, 0.81, 0.85])
    assert [rung.frequency for rung in learned[:3]] == [10.0] * 3
    assert [rung.frequency for rung in learned[3:]] == pytest.approx(
        [7.937, 6.300, 5.0, 5.0], 1e-3
    )


@settings(deadline=None)
@given(rungs=ladders(), factors=st.lists(st.floats(0, 4), max_size=200))
def test_no_rung_is_ever_skipped(rungs, factors):
    state = Degradation(rungs, actions=4)
    at = 0
    for factor in factors:
        changed = state.note(factor * period(state))
        now = rungs.index(state.rung)
        assert now - at == changed
        if changed:  # down only by an overrun, up only by an inference with slack
            assert factor > 1 if now > at else factor < 1
        at = now
    assert state.overruns == sum(factor > 1 for factor in factors)


@settings(deadline=None)
@given(
    rungs=ladders(),
    gap=st.integers(AMONG // (OVERRUNS - 1) + 1, 9),  # fewer than OVERRUNS fall AMONG so many
    size=st.floats(1.01, 100),
)
def test_hiccups_that_stay_alone_change_nothing_however_long(rungs, gap, size):
    state = Degradation(rungs, actions=4)
    for step in range(100):
        assert not state.note((size if step % gap == 0 else 0.9) * period(state))
    assert state.overruns == -(-100 // gap)


@settings(deadline=None)
@given(rungs=ladders(), factors=st.lists(st.floats(0.9, 4), max_size=120))
def test_whatever_was_given_up_is_taken_back_under_slack(rungs, factors):
    state = Degradation(rungs, actions=4)
    for factor in factors:
        state.note(factor * period(state))
    for _ in range((SLACK_RUN << MOST_DOUBLINGS) * len(rungs)):
        state.note(0.9 * SLACK * 4 / rungs[0].frequency)
    assert state.rung is rungs[0]


@settings(deadline=None)
@given(rungs=ladders(), duration=st.floats(0.001, 100))
def test_a_steady_duration_ends_on_one_rung(rungs, duration):
    state = Degradation(rungs, actions=4)
    for _ in range((len(rungs) + 1) * SLACK_RUN):
        state.note(duration)
    settled = state.rung
    assert not any(state.note(duration) for _ in range(5 * SLACK_RUN))
    assert duration <= period(state) or settled.stage is Stage.STOPPED


@pytest.mark.parametrize(('every', 'comes_back'), [(10, True), (5, False)])
def test_a_hiccup_delays_what_is_taken_back_and_frequent_ones_prevent_it(every, comes_back):
    state = fresh()
    slow(state)
    for step in range(4 * SLACK_RUN):
        state.note(period(state) * (0.9 if step % every == 0 else 0.5))
    assert (state.rung.stage is Stage.NONE) == comes_back


@settings(deadline=None)
@given(least=st.floats(0.3, 0.65), steps=st.integers(500, 3000))
def test_reuse_that_is_needed_is_taken_back_in_vain_ever_more_rarely(least, steps):
    state = fresh((0.5, 0.85))
    changes = 0
    for _ in range(steps):  # 1.2 periods at 0.5, and with slack at 0.85
        share = {0.5: 1.2, 0.85: least}.get(state.rung.reuse, 0.9)
        changes += abs(state.note(share * 0.4))
        assert state.rung.stage in (Stage.NONE, Stage.MORE_REUSE)
    longest = SLACK_RUN << MOST_DOUBLINGS
    assert changes <= 2 * (MOST_DOUBLINGS + 2 + steps / longest)


def test_a_stop_is_ended_by_slack_or_by_hand_and_goes_on_at_the_slowest_rate():
    state = fresh()
    slow(state, 6 * OVERRUNS)
    assert state.rung.stage is Stage.STOPPED
    for _ in range(SLACK_RUN):
        assert state.rung.stage is Stage.STOPPED
        state.note(0.5 * period(state))
    assert (state.rung.stage, state.rung.frequency) == (Stage.SLOWER, 5.0)
    slow(state)
    assert state.rung.stage is Stage.STOPPED
    state.resume()
    assert (state.rung.stage, state.rung.frequency) == (Stage.SLOWER, 5.0)
    state.resume()  # ends a stop and nothing else
    assert state.rung.stage is Stage.SLOWER
    state.restart()
    assert state.rung.stage is Stage.NONE
