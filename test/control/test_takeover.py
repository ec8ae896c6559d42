# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A person takes the arm over and drives it, by a clock that the test turns."""

import json

from controller_world import MS
from controller_world import World
import numpy as np
from persons import drive
from persons import give
from persons import moving
from persons import PERSONS
from persons import say
from persons import vectors
from persons import ZERO
import pytest
from vla_cache_ros.control.motion.limits import STOP


def test_a_twist_takes_over_at_once_and_is_followed_instead_of_the_policy():
    world = moving()
    say(world)
    np.testing.assert_allclose(vectors(world), [PERSONS])  # at once, not at the next tick
    assert world.controller.takeover.person
    drive(world, 1000)
    np.testing.assert_allclose(vectors(world), [PERSONS] * len(world.sent))
    assert len(world.sent) >= 50
    assert {command.gripper for _, command in world.sent} == {None}


def test_the_policy_goes_on_watching_at_its_own_rate_and_says_so():
    world = moving()
    say(world)
    seen = len(world.done)
    drive(world, 4000)
    watched = world.done[seen:]
    assert 8 <= len(watched) <= 11  # every execute_steps, 0.4 s
    assert {stamp for _, stamp, _ in watched} == {0}  # no command came of them


def test_zeros_take_nothing_over_but_hold_what_was_taken():
    world = moving()
    say(world, ZERO)
    say(world, [0, 0.0004, 0, 0, 0, 0.0009])  # within the deadbands
    assert not world.controller.takeover.person
    say(world)
    drive(world, 500, ZERO)
    assert world.controller.takeover.person
    np.testing.assert_array_equal(vectors(world)[-20:], np.zeros((20, 6)))
    assert not world.controller.causes


def test_twists_keep_to_the_limits_of_every_command():
    world = moving(max_linear_velocity=0.1, max_linear_acceleration=0.5)
    before = world.last
    drive(world, 1000, [0, 3, 0, 0, 0, 9])
    speeds = np.array(vectors(world))
    changes = np.linalg.norm(np.diff(speeds[:, :3], axis=0, prepend=[before]), axis=1)
    assert changes.max() <= 0.5 * 0.02 * (1 + 1e-9)
    np.testing.assert_allclose(speeds[-1], [0, 0.1, 0, 0, 0, 1.0], atol=1e-9)
    assert world.controller.limited['velocity'] and world.controller.limited['acceleration']


def test_a_wall_of_the_workspace_holds_for_a_person_too():
    world = World(workspace=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), state_timeout=5.0)
    world.pose(0.0, 1.0, 0.0)
    world.image()
    say(world)
    assert world.sent[-1][1].linear[1] == 0
    assert 'workspace' in world.sent[-1][1].limited


def test_a_twist_that_is_not_renewed_stops_the_arm_by_name_until_the_next():
    world = moving(command_timeout=0.2)
    drive(world, 200)
    world.advance(200)
    assert not np.any(world.sent[-1][1].linear)
    assert world.controller.causes.names() == {'stale_teleop'}
    assert world.controller.takeover.person
    last = max(time for time, command in world.sent if np.any(command.linear))
    world.image()
    assert world.think()  # meanwhile the policy watches
    assert (world.time - last) <= 40 * MS
    say(world)
    world.advance(20)
    np.testing.assert_allclose(vectors(world)[-1], PERSONS)
    assert not world.controller.causes


@pytest.mark.parametrize(
    ('message', 'cause'),
    [
        ({'twist': [np.nan, 0, 0, 0, 0, 0]}, 'bad_teleop'),
        ({'frame': 'tool0'}, 'bad_teleop'),
        ({'age': 10_000}, 'stale_teleop'),
        ({'age': -10_000}, 'future_stamp_teleop'),
    ],
)
def test_a_twist_that_cannot_be_used_takes_nothing_over_and_stops_who_drives(message, cause):
    world = moving()
    for _ in range(3):
        say(world, **message)
    assert not world.controller.takeover.person
    assert [line.partition(':')[0] for line in world.warnings] == [cause]  # once
    world.advance(20)
    assert np.any(vectors(world)[-1])  # the policy's
    drive(world, 100)
    say(world, **message)
    world.advance(20)
    assert world.sent[-1][1] is STOP
    assert world.controller.causes.names() == {cause}
    say(world)
    world.advance(20)
    np.testing.assert_allclose(vectors(world)[-1], PERSONS)


def test_a_device_without_a_frame_is_heard():
    world = moving()
    say(world, frame='')
    assert world.controller.takeover.person


@pytest.mark.parametrize(
    ('stop', 'release'),
    [
        (lambda c: c.emergency_stop(True), lambda c: c.emergency_stop(False)),
        (lambda c: c.pause(True), lambda c: c.pause(False)),
        (lambda c: c.clock_stalled(True), lambda c: c.clock_stalled(False)),
        (lambda c: c.duplicated('another'), lambda c: c.duplicated('')),
    ],
    ids=['emergency stop', 'pause', 'clock', 'twin'],
)
def test_what_stops_everything_stops_a_person_at_once(stop, release):
    world = moving()
    drive(world, 100)
    stop(world.controller)
    assert world.sent[-1][1] is STOP
    world.sent.clear()
    for _ in range(5):
        say(world)
        world.advance(20)
    assert not np.any(vectors(world))
    release(world.controller)
    drive(world, 40)
    np.testing.assert_allclose(vectors(world)[-1], PERSONS)


def test_what_the_policy_lacks_does_not_stop_a_person():
    world = moving(image_timeout=0.1)
    for _ in range(50):
        say(world)
        world.advance(20)  # the camera is dead
    np.testing.assert_allclose(vectors(world), [PERSONS] * len(world.sent))
    assert world.controller.causes.names() == {'stale_image'}
    world.controller.inputs.take_instruction('')
    world.controller.halt()
    world.controller.new_episode()
    np.testing.assert_allclose(vectors(world), [PERSONS] * len(world.sent))
    give(world, False)
    world.advance(20)
    assert not np.any(vectors(world)[-1])  # but the policy stands still


def test_without_a_pose_nobody_knows_where_the_walls_are():
    world = World(workspace=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), state_timeout=0.1)
    world.pose(0.0, 0.0, 0.0)
    drive(world, 80)
    assert np.any(vectors(world)[-1])
    drive(world, 80)
    assert world.sent[-1][1] is STOP
    assert world.controller.causes.names() == {'stale_state'}


@pytest.mark.parametrize('ee_frame', ['', 'tool0'], ids=['topic', 'transforms'])
def test_before_the_first_pose_a_person_drives_nowhere(ee_frame):
    world = World(workspace=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0), ee_frame=ee_frame)
    drive(world, 80)
    assert world.controller.takeover.person
    assert {command is STOP for _, command in world.sent} == {True}


def test_the_mode_says_who_has_the_arm_since_when_and_by_what():
    world = moving()
    assert json.loads(world.controller.takeover.mode())['control'] == 'policy'
    say(world)
    taken = world.time
    world.advance(100)
    mode = {'control': 'person', 'by': 'teleop_twist_cmds', 'stamp': taken}
    assert json.loads(world.controller.takeover.mode()) == mode
    give(world, True)
    assert json.loads(world.controller.takeover.mode()) == mode | {'by': 'take_over'}
    give(world, False)
    assert json.loads(world.controller.takeover.mode()) == {
        'control': 'policy',
        'by': 'take_over',
        'stamp': world.time,
    }


def test_an_inactive_node_hears_no_twist():
    world = moving()
    world.controller.deactivate()
    world.sent.clear()
    say(world)
    assert not world.controller.takeover.person and not world.sent


def test_after_being_frozen_the_arm_begins_from_rest():
    world = moving(max_linear_acceleration=0.5)
    drive(world, 1000)
    world.time += 2000 * MS  # nothing ran; the driver's timeout has stopped the arm
    say(world)
    world.advance(20)
    assert np.linalg.norm(world.sent[-1][1].linear) <= 0.5 * 0.02 * (1 + 1e-9)
