# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The scripted expert of LIBERO-Spatial in the real simulator, with the extra `libero`."""

from importlib.util import find_spec

import numpy as np
import pytest
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup

from recipes.libero.expert import Expert

needs_libero = pytest.mark.skipif(
    find_spec('libero') is None, reason='LIBERO is not installed: make test-libero'
)
DRAWN = 70_000_000
PUBLISHED = 20
BOWL = 'akita_black_bowl_1'


def _open(task):
    return make_environment('libero_spatial', Setup('openvla-oft', 1, 10**6, 8, (str(task),)))


def _finish(env, expert, steps):
    while not env.success() and steps:
        env.step(expert.action())
        steps -= 1
    assert env.success(), env.task.name


@needs_libero
@pytest.mark.parametrize('task', [4, 6])  # in the drawer; where the arm is all but straight
def test_a_bowl_is_put_on_the_plate_in_half_the_time_from_drawn_and_published_states(task):
    env = _open(task)
    try:
        env.draw_state(env.tasks[0], DRAWN)
        _finish(env, Expert(env.sim_env, env.task.name), env.max_steps // 2)
        env.reset_state(PUBLISHED)
        _finish(env, Expert(env.sim_env, env.task.name), env.max_steps // 2)
    finally:
        env.close()


@needs_libero
def test_a_bowl_that_is_dropped_on_the_way_is_taken_up_again_and_a_shut_hand_opens_first():
    env = _open(0)
    try:
        env.draw_state(env.tasks[0], DRAWN)
        expert = Expert(env.sim_env, env.task.name)
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
        _finish(env, expert, env.max_steps)
    finally:
        env.close()
