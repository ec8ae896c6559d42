# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scripted expert of LIBERO-Spatial in the real simulator, with the extra `libero`."""

from libero_experts import expert_of
from libero_experts import finish
from libero_experts import finish_in_half_the_time
from libero_experts import needs_libero
from libero_experts import opened
import numpy as np
import pytest

from recipes.__main__ import Demos

BOWL = 'akita_black_bowl_1'


@needs_libero
@pytest.mark.parametrize('task', [4, 6])  # in the drawer; where the arm is all but straight
def test_a_bowl_is_put_on_the_plate_in_half_the_time_from_drawn_and_published_states(task):
    finish_in_half_the_time('libero_spatial', task)


@needs_libero
def test_a_bowl_that_is_dropped_on_the_way_is_taken_up_again_and_a_shut_hand_opens_first():
    with opened('libero_spatial', 0) as env:
        expert = expert_of(env)
        world = expert.world
        for _ in range(10):
            env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
        assert expert.action()[6] == 1
        aims = expert.aims()
        assert (aims.target, aims.destination) == (BOWL, 'plate_1')
        low, high = world.bounds(BOWL)
        assert np.abs(aims.points[0] - [*(low + high)[:2] / 2, high[2]])[:2].max() < 0.06
        while world.bounds(BOWL)[0][2] < world.table + 0.05:
            env.step(expert.action())
        for _ in range(12):
            env.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
        assert world.bounds(BOWL)[0][2] < world.table + 0.03
        finish(env, expert, env.max_steps)


@needs_libero
def test_a_suite_of_another_domain_is_refused_before_anything_is_built(tmp_path):
    with pytest.raises(ValueError, match='expected tasks of --env libero, got pick'):
        Demos(out=tmp_path, env='libero', suite='libero_object')()
    assert not list(tmp_path.iterdir())
