# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that are no numbers go nowhere, and each stop is told of once."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from vla_cache_ros.ros.safety import check_actions
from vla_cache_ros.ros.safety import lateness
from vla_cache_ros.ros.safety import StopCauses
from vla_cache_ros.ros.safety import UnsafeAction

ANYTHING = arrays(float, (2, 7), elements=strategies.floats(width=64))


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
