# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-10's scripted expert in the real simulator, where the extra `libero` is installed."""

from importlib.util import find_spec

import numpy as np
import pytest
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup

from recipes.libero.expert import Expert
from recipes.libero.ten import stages

needs_libero = pytest.mark.skipif(
    find_spec('libero') is None, reason='LIBERO is not installed: make test-libero'
)
DRAWN = 70_000_000
PUBLISHED = 20


def _open(task):
    return make_environment('libero_10', Setup('openvla-oft', 1, 8, 8, (str(task),)))


@needs_libero
@pytest.mark.parametrize('task', [3, 5, 9])
def test_a_task_is_done_in_half_the_time_from_drawn_and_published_states(task):
    env = _open(task)
    try:
        for start in (
            lambda: env.draw_state(env.tasks[0], DRAWN),
            lambda: env.reset_state(PUBLISHED),
        ):
            start()
            expert = Expert(env.sim_env, env.task.name)
            steps = 0
            while not env.success() and steps < env.max_steps // 2:
                aims = expert.aims()
                assert aims.target in expert.world.names
                assert aims.destination in (None, *expert.world.names)
                assert np.isfinite(aims.points[0]).all()
                assert np.isfinite(aims.points[1]).all() == (aims.destination is not None)
                env.step(expert.action())
                steps += 1
            assert env.success(), f'{env.task.name}: {steps} steps'
    finally:
        env.close()


def test_an_unknown_task_is_refused():
    with pytest.raises(KeyError, match='wash'):
        stages('KITCHEN_SCENE1_wash_the_dishes', None)


@needs_libero
def test_a_second_thing_waits_until_the_first_is_let_go():
    env = _open(0)
    try:
        env.draw_state(env.tasks[0], DRAWN)
        expert = Expert(env.sim_env, env.task.name)
        first, _ = expert.stages
        goal = list(first.goal)
        while not expert.world.env._eval_predicate(goal):
            env.step(expert.action())
        while expert.aims().target == first.grasp.target:
            env.step(expert.action())
        assert expert.world.opening > 0.06
    finally:
        env.close()
