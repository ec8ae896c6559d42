# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Goal's scripted expert in the real simulator, where the extra `libero` is installed."""

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


def _open(task):
    return make_environment('libero_goal', Setup('openvla-oft', 1, 8, 8, (str(task),)))


def _finish(env, expert, most):
    for _ in range(most):
        aims = expert.aims()
        assert aims.target in expert.world.names
        assert aims.destination is None or aims.destination in expert.world.names
        assert np.isfinite(aims.points).all(1).tolist() == [True, aims.destination is not None]
        env.step(expert.action())
        if env.success():
            return
    raise AssertionError(f'{env.task.name}: not done in {most} steps')


@needs_libero
@pytest.mark.parametrize('task', [5, 7, 9])
def test_a_task_is_done_in_half_the_time_from_drawn_and_published_states(task):
    env = _open(task)
    try:
        for start in (
            lambda: env.draw_state(env.tasks[0], DRAWN),
            lambda: env.reset_state(PUBLISHED),
        ):
            start()
            _finish(env, Expert(env.sim_env, env.task.name), env.max_steps // 2)
    finally:
        env.close()


@needs_libero
def test_a_drawer_that_slipped_out_of_the_hand_is_taken_again():
    env = _open(0)
    try:
        env.draw_state(env.tasks[0], DRAWN)
        expert = Expert(env.sim_env, env.task.name)
        drawer = expert.stages[0].drawer
        while drawer.opening < 0.05:
            env.step(expert.action())
        for _ in range(12):  # lets go of it, and shuts beside it
            env.step(np.array([0.5, 0.9, 0.0, 0.0, 0.0, 0.0, 1.0]))
        for _ in range(12):
            env.step(np.zeros(7))
        assert drawer.opening < 0.14
        _finish(env, expert, 120)
    finally:
        env.close()
