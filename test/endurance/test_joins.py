# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Chunks join without a step of velocity, and the drill that says so tells success apart."""

from dataclasses import replace

from joins import Loop
from joins import PARAMETERS
from joins import summary
import pytest
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.policy import Policy


@pytest.fixture(scope='module')
def actors():
    """Return the shipped policy and the arm."""
    world = Tabletop()
    yield Policy.from_pretrained('tabletop', gate='learned'), world
    world.close()


@pytest.mark.parametrize('limit', [2.0, 50.0])
@pytest.mark.parametrize('blend', [0.0, 0.2])
def test_velocity_never_changes_faster_than_the_limit(actors, limit, blend):
    asked = replace(
        PARAMETERS,
        execution='asynchronous',
        join_blend=blend,
        max_linear_acceleration=limit,
        max_angular_acceleration=2 * limit,
    )
    run = Loop(*actors, asked, delay=0.1).episode(0)
    assert run['commands'] > 50 and run['stops'] == []
    assert 0 < run['largest_step'] <= 1 + 1e-9


def test_blend_makes_joins_gentler(actors):
    asked = replace(PARAMETERS, execution='asynchronous', max_linear_acceleration=1000.0)

    def largest(blend):
        loop = Loop(*actors, replace(asked, join_blend=blend), delay=0.1)
        return max(loop.episode(seed)['largest_step_at_a_join'] for seed in range(4))

    assert largest(0.2) < 0.9 * largest(0.0)


def row(asynchronous, synchronous, step=0.5):
    facts = {'commands': 10, 'limited': 0, 'largest_step': step, 'stops': []}
    facts |= {'largest_step_at_a_join': step}
    return {
        'asynchronous': facts | {'success': asynchronous},
        'synchronous': facts | {'success': synchronous},
    }


@pytest.mark.parametrize(
    'rows, good',
    [
        ([row(True, True)] * 98 + [row(False, True)] * 2, True),
        ([row(True, True)] * 97 + [row(False, True)] * 3, False),
        ([row(True, True, step=1.1)] * 100, False),
    ],
)
def test_drill_is_passed_within_two_points_and_without_a_step(rows, good):
    figures = summary(rows)
    assert figures['ok'] == good
    assert figures['synchronous']['successes'] == 100
