# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A person hands the arm over and back, by a clock that the test turns."""

from command_checks import Bounds
from command_checks import CommandChecks
from controller_world import MS
from controller_world import World
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
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


def test_the_service_hands_over_with_a_stop_and_then_nothing_is_sent():
    world = moving()
    give(world, True)
    assert [command for _, command in world.sent] == [STOP]
    world.sent.clear()
    say(world, ZERO)  # of a device at rest, beside the driver that the person uses
    world.advance(1000)
    world.image()
    world.think()
    world.controller.pause(True)
    world.controller.pause(False)
    world.controller.deactivate()
    world.controller.activate()
    world.advance(1000)
    assert not world.sent
    world.controller.emergency_stop(True)
    assert world.sent[-1][1] is STOP  # but for this


def test_the_service_alone_takes_back_what_it_gave():
    world = moving(takeover_timeout=0.5)
    give(world, True)
    drive(world, 200)
    np.testing.assert_allclose(vectors(world)[-1], PERSONS)
    world.advance(3000)
    assert world.controller.takeover.person
    give(world, False)
    assert not world.controller.takeover.person
    resets = list(world.policy.resets)
    give(world, False)  # again: the cache stays
    assert world.policy.resets == resets
    assert resets.count('handed_back') == 1


@pytest.mark.parametrize(('timeout', 'back'), [(0.5, True), (0.0, False)])
def test_without_motion_the_arm_goes_back_after_a_timeout_or_never(timeout, back):
    world = moving(takeover_timeout=timeout)
    drive(world, 200)
    drive(world, 480, ZERO)
    assert world.controller.takeover.person
    drive(world, 60, ZERO)
    assert world.controller.takeover.person is not back


def test_a_clock_that_is_set_back_hands_nothing_back_early_or_late():
    world = moving(takeover_timeout=0.5)
    drive(world, 200)
    world.time -= 10**12
    world.controller.clock_jumped()
    assert not np.any(vectors(world)[-1]) or world.controller.takeover.person
    world.advance(480)
    assert world.controller.takeover.person
    assert not np.any(vectors(world)[-1])
    world.advance(60)
    assert not world.controller.takeover.person


@pytest.mark.parametrize('execution', ['synchronous', 'asynchronous', 'ensembled'])
def test_handing_back_stops_and_goes_on_with_a_fresh_cache_and_newer_images(execution):
    world = moving(execution=execution, max_linear_acceleration=2.0)
    drive(world, 500)
    world.image()
    late = world.worker.slot
    give(world, False)
    assert world.sent[-1][1] is STOP
    assert world.policy.resets[-1] == 'handed_back'
    if late:
        late()  # an inference of before ends after all
        world.controller.collect()
    world.image(world.time - MS)  # taken before
    assert not world.think()
    world.sent.clear()
    world.advance(20)
    assert not np.any(vectors(world))
    world.image()
    assert world.think()
    world.advance(200)
    speeds = np.array([command.linear for _, command in world.sent])
    assert np.linalg.norm(np.diff(speeds, axis=0), axis=1).max() <= 2.0 * 0.02 * (1 + 1e-9)
    np.testing.assert_allclose(speeds[-1], world.policy.action[:3] * 10)


TWISTS = st.sampled_from([PERSONS, 2 * PERSONS, -PERSONS, ZERO])
EVENTS = st.sampled_from(['twist', 'twist', 'twist', 'take', 'back', 'nothing', 'image', 'think'])


class Witness(World):
    """Note who had the arm at each command, and the twist they wanted."""

    def __init__(self, **parameters):
        self.whose = []
        super().__init__(**parameters)
        self.whose.clear()

    def send(self, command):
        takeover = self.controller.takeover
        self.whose.append((takeover.person, takeover.twist))
        return super().send(command)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(EVENTS, TWISTS, st.integers(1, 45)), min_size=20, max_size=120),
    st.sampled_from(['synchronous', 'asynchronous', 'ensembled']),
    st.sampled_from([0.0, 0.15]),
    st.sampled_from([1.0, 1e3]),
)
def test_whenever_a_person_takes_over_no_command_of_the_policy_is_sent(
    events, execution, timeout, acceleration
):
    world = Witness(
        execution=execution,
        takeover_timeout=timeout,
        max_linear_acceleration=acceleration,
        max_angular_acceleration=1e3,
    )
    for event, twist, wait in events:
        world.time += MS  # since the last command
        if event == 'twist':
            say(world, twist)
        elif event in ('take', 'back'):
            give(world, event == 'take')
        elif event == 'image':
            world.image()
        elif event == 'think':
            world.think()
        world.advance(wait, tick=wait)
    checks = CommandChecks(Bounds(0.25, 1.0, acceleration, 1e3), publish_rate=50.0)
    for (time, command), vector, (person, twist) in zip(
        world.sent, vectors(world), world.whose, strict=True
    ):
        checks.twist(time, vector)
        if person:
            assert command.gripper is None
            if acceleration > 1 and np.any(vector) and np.any(twist):
                np.testing.assert_allclose(vector, twist)
            elif np.any(command.angular):  # which no limit delays
                np.testing.assert_allclose(command.angular, twist[3:])
    assert not checks.violations
