# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Goal's scripted expert in the real simulator, where the extra `libero` is installed."""

from libero_experts import expert_of
from libero_experts import finish
from libero_experts import finish_in_half_the_time
from libero_experts import needs_libero
from libero_experts import opened
import numpy as np
import pytest


@needs_libero
@pytest.mark.parametrize('task', [5, 7, 9])
def test_a_task_is_done_in_half_the_time_from_drawn_and_published_states(task):
    finish_in_half_the_time('libero_goal', task)


@needs_libero
def test_a_drawer_that_slipped_out_of_the_hand_is_taken_again():
    with opened('libero_goal', 0) as env:
        expert = expert_of(env)
        drawer = expert.stages[0].drawer
        while drawer.opening < 0.05:
            env.step(expert.action())
        for _ in range(12):  # lets go of it, and shuts beside it
            env.step(np.array([0.5, 0.9, 0.0, 0.0, 0.0, 0.0, 1.0]))
        for _ in range(12):
            env.step(np.zeros(7))
        assert drawer.opening < 0.14
        finish(env, expert, 120)
