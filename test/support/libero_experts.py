# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks of LIBERO for tests of the scripted experts: open one, and have the expert end it."""

from contextlib import contextmanager
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
PUBLISHED = 20  # the states before it are for tables alone


@contextmanager
def opened(suite, task):
    """Open one task of a suite, at a drawn state, and close it."""
    env = make_environment(suite, Setup('openvla-oft', 1, 10**6, 8, (str(task),)))
    try:
        env.draw_state(env.tasks[0], DRAWN)
        yield env
    finally:
        env.close()


def expert_of(env):
    """Return the expert of the present task."""
    return Expert(env.sim_env, env.task.name)


def finish(env, expert, most):
    """Let the expert end the task in at most so many steps; what it is after must be there."""
    for _ in range(most):
        aims = expert.aims()
        assert aims.target in expert.world.names
        assert aims.destination in (None, *expert.world.names)
        assert np.isfinite(aims.points).all(1).tolist() == [True, aims.destination is not None]
        env.step(expert.action())
        if env.success():
            return
    raise AssertionError(f'{env.task.name}: not done in {most} steps')


def finish_in_half_the_time(suite, task):
    """Have a task ended from a drawn and from a published state."""
    with opened(suite, task) as env:
        finish(env, expert_of(env), env.max_steps // 2)
        env.reset_state(PUBLISHED)
        finish(env, expert_of(env), env.max_steps // 2)
