# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Contact is told from free space by the distance between gripper and objects."""

import numpy as np
import pytest
from vla_cache_ros.environments.tabletop.phase import clearance
from vla_cache_ros.environments.tabletop.phase import FAR
from vla_cache_ros.environments.tabletop.phase import height
from vla_cache_ros.environments.tabletop.phase import phase
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.scene import CUBE_HALF
from vla_cache_ros.environments.tabletop.scene import PLATE_HEIGHT


@pytest.fixture
def env():
    """Return a scene whose gripper tests move."""
    tabletop = Tabletop()
    tabletop.reset_state(3, 'put_red_on_green')
    return tabletop


def test_high_above_the_table_is_quiet(env):
    cube = env.cube_position('red')
    env.place_gripper(cube + [0, 0, 0.25], 0.0)
    assert phase(env) == 'quiet'
    # the pads end a little below the point between the tips
    assert clearance(env) == pytest.approx(0.25 - CUBE_HALF, abs=0.03)
    assert height(env) == pytest.approx(cube[2] + 0.25, abs=0.005)


def test_around_a_cube_is_contact_before_anything_touches(env):
    env.place_gripper(env.cube_position('red'), 0.0)
    assert 0 < clearance(env) < 0.03
    assert phase(env) == 'contact'


@pytest.mark.parametrize(('above', 'expected'), [(0.02, 'contact'), (0.07, 'quiet')])
def test_a_plate_counts_as_an_object(env, above, expected):
    plate = env.plate_position('green')
    for name in env.cube_names():  # out of the way
        env.data.joint(name).qpos[:3] = -1, 0, 1
    env.place_gripper(plate + [0, 0, PLATE_HEIGHT + above], 0.0)
    assert phase(env) == expected


def test_a_carried_cube_stays_contact_in_free_space(env):
    env.place_gripper(np.array([0.5, 0.0, 0.3]), 0.0)
    env.data.joint('cube_red').qpos[:3] = env.tcp()
    env.apply_twist(np.zeros(3), np.zeros(3), 0.0, 0.02)
    assert height(env) > 0.25
    assert phase(env) == 'contact'


def test_distance_stops_at_its_limit(env):
    for name in env.cube_names():
        env.data.joint(name).qpos[:3] = -5, 0, 1
    for name in env.plate_names():
        env.model.body(name).pos[:] = -5, 0, 0
    env.place_gripper(np.array([0.5, 0.0, 0.4]), 0.0)
    assert clearance(env) == FAR
    assert clearance(env, 0.1) == 0.1
