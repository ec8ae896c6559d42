# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-10's scripted expert in the real simulator, where the extra `libero` is installed."""

from libero_experts import expert_of
from libero_experts import finish_in_half_the_time
from libero_experts import needs_libero
from libero_experts import opened
import pytest

from recipes.libero.ten import stages


@needs_libero
@pytest.mark.parametrize('task', [3, 5, 9])
def test_a_task_is_done_in_half_the_time_from_drawn_and_published_states(task):
    finish_in_half_the_time('libero_10', task)


def test_an_unknown_task_is_refused():
    with pytest.raises(KeyError, match='wash'):
        stages('KITCHEN_SCENE1_wash_the_dishes', None)


@needs_libero
def test_a_second_thing_waits_until_the_first_is_let_go():
    with opened('libero_10', 0) as env:
        expert = expert_of(env)
        first, _ = expert.stages
        goal = list(first.goal)
        while not expert.world.env._eval_predicate(goal):
            env.step(expert.action())
        while expert.aims().target == first.grasp.target:
            env.step(expert.action())
        assert expert.world.opening > 0.06
