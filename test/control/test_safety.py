# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that are no numbers go nowhere, and each stop is told of once."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.safety import ClockWatch
from vla_cache_ros.control.safety import lateness
from vla_cache_ros.control.safety import StopCauses
from vla_cache_ros.control.safety import UnsafeAction

ANYTHING = arrays(float, (2, 7), elements=strategies.floats(width=64))


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_actions_pass_whole_and_finite_or_not_at_all(actions):
    if np.isfinite(actions).all():
        np.testing.assert_array_equal(check_actions(actions, 7), actions)
    else:
        with pytest.raises(UnsafeAction, match='expected finite actions, got'):
            check_actions(actions, 7)


def test_the_number_that_is_none_is_named_by_its_place():
    actions = np.zeros((3, 7))
    actions[1, 3], actions[2, 0] = np.nan, np.inf
    with pytest.raises(UnsafeAction) as caught:
        check_actions(actions, 7)
    assert str(caught.value) == 'expected finite actions, got nan as number 3 of action 1'
    with pytest.raises(UnsafeAction) as caught:
        check_actions(np.zeros((2, 6)), 7)
    assert str(caught.value) == 'expected actions of shape [n, 7], got [2, 6]'
    with pytest.raises(UnsafeAction, match=r'\[n, 8\], got \[3, 7\]'):
        check_actions(np.zeros((3, 7)), 8)
    checked = check_actions([[1, 2, 3, 4, 5, 6, 7]], 7)
    assert checked.dtype == np.float64 and checked.tolist() == [[1, 2, 3, 4, 5, 6, 7]]


@pytest.mark.parametrize('shape', [(7,), (1, 6), (0, 7), (1, 1, 7)])
def test_misshapen_actions_are_unsafe(shape):
    with pytest.raises(UnsafeAction, match=r'expected actions of shape \[n, 7\], got'):
        check_actions(np.zeros(shape), 7)


@pytest.mark.parametrize(
    ('stamp', 'cause'),
    [(0, 'unstamped'), (10**9, 'stale'), (12 * 10**9, 'future_stamp'), (95 * 10**8, None)],
)
def test_stamp_is_judged_by_its_age(stamp, cause):
    late = lateness('camera', stamp, now=10 * 10**9, timeout=1.0)
    assert (late[0] if late else None) == cause


def test_stamp_may_be_off_by_the_timeout_and_no_more():
    second = 10**9
    for off in (-second // 2, 0, second // 2):
        assert lateness('camera', 10 * second + off, 10 * second, 0.5) is None
    assert lateness('camera', 0, 10 * second, 0.5) == (
        'unstamped',
        'camera: expected a header stamp, got zero; let the driver stamp it',
    )
    assert lateness('camera', 12 * second, 10 * second, 0.5) == (
        'future_stamp',
        'camera: expected a stamp of the past, got one 2.00 s ahead; '
        'synchronise the clocks and check use_sim_time on both sides',
    )
    assert lateness('camera', 7 * second, 10 * second, 0.5) == (
        'stale',
        'camera: expected a message every 0.5 s, last one 3.00 s ago',
    )


def test_causes_have_a_source_only_where_one_is_given():
    causes = StopCauses()
    assert not causes and causes.messages() == [] and causes.names() == set()
    assert causes.raise_cause('paused', 'held') and causes
    assert causes.replace({('paused', ''): 'held', ('stale', 'left'): 'old'}, {'stale'}) == ['old']
    assert causes.messages() == ['paused: held', 'stale: old']
    assert causes.names() == {'paused', 'stale'}
    assert causes.replace({}, {'stale'}) == [] and causes.names() == {'paused'}
    assert causes.counts == {'paused': 1, 'stale': 1}


def test_stop_is_new_once_and_counted_once_until_it_ends():
    causes = StopCauses()
    assert causes.raise_cause('stale_image', 'old', 'left')
    assert not causes.raise_cause('stale_image', 'older', 'left')
    assert causes.raise_cause('stale_image', 'old', 'right')
    assert causes.counts['stale_image'] == 2
    assert causes.replace({('stale_image', 'left'): 'old'}, {'stale_image'}) == []
    assert causes.messages() == ['stale_image: old']
    causes.clear({'stale_image'})
    assert not causes
    assert causes.raise_cause('stale_image', 'old', 'left')
    assert causes.counts['stale_image'] == 3


def test_a_clock_is_stalled_once_it_stood_still_for_longer_than_the_timeout():
    watch = ClockWatch(timeout=100)
    assert not watch.stalled(7, 1000)
    assert not watch.stalled(7, 1100)
    assert watch.stalled(7, 1101)
    assert not watch.stalled(8, 1102)  # it goes on, or back
    assert not watch.stalled(8, 1202)
    assert watch.stalled(8, 1203)
    assert not watch.stalled(3, 1204)
