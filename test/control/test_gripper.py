# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gripper that is asked to flicker opens and closes for good, and not too often."""

from controller_world import MS
from controller_world import World
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.control.gripper_parameters import GripperParameters
from vla_cache_ros.control.motion.gripper import Gripper

OPENINGS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60)


def follow(openings, every=100, **parameters):
    """Return what is sent for openings that are asked for every so many ms."""
    gripper, asked = Gripper(), GripperParameters(**parameters)
    return [gripper(opening, asked, now * every * MS) for now, opening in enumerate(openings)]


@given(OPENINGS)
def test_by_default_every_opening_is_sent_as_it_is(openings):
    assert follow(openings) == openings


def test_inside_the_band_it_stays_as_it_is():
    openings = [0.8, 0.45, 0.55, 0.41, 0.39, 0.45, 0.55, 0.59, 0.61, 0.45]
    expected = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
    assert follow(openings, gripper_hysteresis=0.2) == expected


@pytest.mark.parametrize('first, sent', [(0.49, 0.0), (0.5, 1.0)])
def test_what_is_asked_for_first_decides_even_inside_the_band(first, sent):
    assert follow([first], gripper_hysteresis=0.5) == [sent]


def test_change_waits_until_the_last_one_is_long_enough_ago():
    openings = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    assert follow(openings, gripper_dwell=0.3) == [1, 1, 1, 0, 0, 0, 1, 1]


def test_clock_that_is_set_back_holds_nothing():
    gripper, asked = Gripper(), GripperParameters(gripper_dwell=1.0)
    assert gripper(1.0, asked, 10**12) == 1
    assert gripper(0.0, asked, 10**9) == 0


@given(OPENINGS, st.floats(0.0, 0.9), st.floats(0.05, 1.0))
def test_two_changes_are_never_nearer_than_the_dwell(openings, band, dwell):
    sent = follow(openings, gripper_hysteresis=band, gripper_dwell=dwell)
    assert set(sent) <= {0.0, 1.0}
    changes = [0, *(np.flatnonzero(np.diff(sent)) + 1)]
    assert all(0.1 * gap >= dwell - 1e-9 for gap in np.diff(changes))


def test_commands_of_the_node_carry_it():
    world = World(gripper_hysteresis=0.4, gripper_dwell=0.15)
    world.policy.action = np.array([0.01, 0, 0, 0, 0, 0, 0.9])
    world.image()
    world.think()
    world.controller._playback._chunks[-1].actions[:4, 6] = 0.9, 0.4, 0.1, 0.6
    world.advance(400)
    sent = [
        (time - world.sent[0][0], c.gripper) for time, c in world.sent if c.gripper is not None
    ]
    assert {gripper for time, gripper in sent if time < 180 * MS} == {1.0}
    assert {gripper for time, gripper in sent if 200 * MS < time} == {0.0}
