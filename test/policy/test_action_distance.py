# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far two chunks are apart looks at what is executed, and says it as each user needs it."""

import numpy as np
import pytest
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.action_distance import displacement
from vla_cache_ros.action_distance import drift_distance
from vla_cache_ros.action_distance import largest_difference
from vla_cache_ros.action_distance import step_displacement
from vla_cache_ros.action_distance import turn


@pytest.fixture
def chunks():
    """Return two chunks [8, 7]; of the first four actions, x comes back and the wrist turns."""
    dense = np.zeros((8, 7))
    cached = dense.copy()
    cached[:, 0] = [0.003, -0.001, 0.003, -0.001] + [1.0] * 4
    cached[:, 4] = np.radians(2)
    return cached, dense


def test_every_distance_ends_where_the_arm_looks_again(chunks):
    cached, dense = chunks
    assert displacement(cached, dense, 4) == pytest.approx(4.0)
    assert step_displacement(cached, dense, 4) == pytest.approx(2.0)
    assert turn(cached, dense, 4) == pytest.approx(8.0)
    wanted = (4 * 0.002 + 4 * np.radians(2)) / 28
    assert action_distance(cached, dense, 4) == pytest.approx(wanted)
    assert largest_difference(cached, dense) == 1.0


def test_many_chunks_are_measured_at_once(chunks):
    pairs = [np.stack([one, two]) for one, two in zip(chunks, chunks[::-1], strict=True)]
    for distance in (action_distance, displacement, step_displacement, turn):
        assert distance(*pairs, 4) == pytest.approx([distance(*chunks, 4)] * 2)


def test_a_gripper_that_closes_a_little_later_is_no_drift_and_one_that_stays_open_is():
    cached, dense = np.zeros((8, 7)), np.zeros((8, 7))
    dense[4:] = 1.0
    assert drift_distance(cached, dense, 4) == 0
    dense[:4, 0] = 0.6
    assert drift_distance(cached, dense, 4) == pytest.approx(0.1)
    dense[3, 6] = 1.0  # closes one action earlier
    assert drift_distance(cached, dense, 4) == pytest.approx(0.125)
    dense[:4, 6] = 1.0  # closes, the other does not
    assert drift_distance(cached, dense, 4) == pytest.approx(0.5)
