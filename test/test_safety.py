# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the policy says, what leaves is finite, bounded and points the same way."""

import math

from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from vla_cache_ros.ros.safety import check_actions
from vla_cache_ros.ros.safety import lateness
from vla_cache_ros.ros.safety import StopCauses
from vla_cache_ros.ros.safety import to_command
from vla_cache_ros.ros.safety import UnsafeAction

FINITE = arrays(float, 7, elements=strategies.floats(-1e300, 1e300))
ANYTHING = arrays(float, (2, 7), elements=strategies.floats(width=64))


@example(np.ones(7), 1.0, 5.733138560975206e-160, 0.0)
@settings(max_examples=100, deadline=None)
@given(FINITE, strategies.floats(0.1, 100), strategies.floats(0, 5), strategies.floats(0, 20))
def test_velocity_is_bounded_in_norm_and_keeps_its_direction(action, frequency, linear, angular):
    with np.errstate(over='ignore'):
        wanted = action[:6] * frequency
    if not np.isfinite(wanted).all():
        return
    command = to_command(action, frequency, linear, angular)
    # hypot, for the square of a tiny limit underflows
    assert math.hypot(*command.linear) <= linear * (1 + 1e-9)
    assert math.hypot(*command.angular) <= angular * (1 + 1e-9)
    assert 0 <= command.gripper <= 1
    for got, want in ((command.linear, wanted[:3]), (command.angular, wanted[3:])):
        largest = np.abs(want).max()
        if largest > 1e-200 and np.any(got):
            unit = want / largest / np.linalg.norm(want / largest)
            np.testing.assert_allclose(got, unit * np.linalg.norm(got), atol=1e-9)


def test_velocity_within_the_limits_is_untouched():
    command = to_command(np.array([0.01, 0, -0.02, 0, 0, 0.05, 1.7]), 10.0, 0.4, 0.9)
    np.testing.assert_allclose(command.linear, [0.1, 0, -0.2])
    np.testing.assert_allclose(command.angular, [0, 0, 0.5])
    assert command.gripper == 1.0
    assert not command.limited


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_actions_pass_whole_and_finite_or_not_at_all(actions):
    if np.isfinite(actions).all():
        np.testing.assert_array_equal(check_actions(actions), actions)
    else:
        with pytest.raises(UnsafeAction, match='expected finite actions, came'):
            check_actions(actions)


@pytest.mark.parametrize('shape', [(7,), (1, 6), (0, 7), (1, 1, 7)])
def test_misshapen_actions_are_unsafe(shape):
    with pytest.raises(UnsafeAction, match=r'expected actions of shape \[n, 7\], came'):
        check_actions(np.zeros(shape))


@pytest.mark.parametrize(
    ('stamp', 'cause'),
    [(0, 'unstamped'), (10**9, 'stale'), (12 * 10**9, 'future_stamp'), (95 * 10**8, None)],
)
def test_stamp_is_judged_by_its_age(stamp, cause):
    late = lateness('camera', stamp, now=10 * 10**9, timeout=1.0)
    assert (late[0] if late else None) == cause


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
