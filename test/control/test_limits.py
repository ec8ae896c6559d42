# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever the policy says, what leaves is finite, bounded, gradual and within the workspace."""

from dataclasses import replace
import math
import warnings

from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from vla_cache_ros.control.motion.limits import limit_norm
from vla_cache_ros.control.motion.limits import Limiter
from vla_cache_ros.control.motion.limits import STOP
from vla_cache_ros.control.motion.limits import velocities
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.vla_parameters import VLAParameters

FINITE = arrays(float, 7, elements=strategies.floats(-1e300, 1e300))
SENSIBLE = arrays(float, 7, elements=strategies.floats(-0.2, 0.2))
FREE = VLAParameters(
    control_frequency=10.0,
    max_linear_velocity=0.4,
    max_angular_velocity=0.9,
    max_linear_acceleration=1000.0,
    max_angular_acceleration=1000.0,
    deadband_linear_velocity=0.0,
    deadband_angular_velocity=0.0,
)
TICK = 1 / FREE.publish_rate


def limited(action, parameters=FREE, elapsed=TICK, position=None):
    return Limiter()(np.asarray(action, float), parameters, elapsed, position)


@example(np.ones(7), 1.0, 5.733138560975206e-160, 0.0)
@example(np.full(7, 1e300), 1e9, 1.0, 1.0)
@example(np.ones(7), 1.0, 5e-324, 5e-324)
@settings(max_examples=100, deadline=None)
@given(FINITE, strategies.floats(0.1, 1e9), strategies.floats(0, 5), strategies.floats(0, 20))
def test_velocity_is_finite_and_bounded_in_norm_and_keeps_its_direction(
    action, frequency, linear, angular
):
    parameters = replace(
        FREE,
        control_frequency=frequency,
        max_linear_velocity=linear,
        max_angular_velocity=angular,
    )
    command = limited(action, parameters)
    # hypot, for the square of a tiny limit underflows; 1e-300, for subnormal numbers round up
    assert math.hypot(*command.linear) <= linear * (1 + 1e-9) + 1e-300
    assert math.hypot(*command.angular) <= angular * (1 + 1e-9) + 1e-300
    assert 0 <= command.gripper <= 1
    with np.errstate(over='ignore'):
        wanted = action[:6] * frequency
    if not np.isfinite(wanted).all():
        return
    for got, want in ((command.linear, wanted[:3]), (command.angular, wanted[3:])):
        largest = np.abs(want).max()
        if largest > 1e-200 and np.any(got):
            unit = want / largest / np.linalg.norm(want / largest)
            np.testing.assert_allclose(got, unit * np.linalg.norm(got), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    strategies.lists(SENSIBLE, min_size=1, max_size=20),
    strategies.floats(0.1, 50),
    strategies.floats(0.1, 50),
    strategies.floats(0, 0.2),
)
def test_velocity_changes_gradually_however_late_a_command_is(actions, linear, angular, elapsed):
    parameters = replace(FREE, max_linear_acceleration=linear, max_angular_acceleration=angular)
    limiter, before = Limiter(), (np.zeros(3), np.zeros(3))
    step = TICK  # from rest; then no more than the time that has passed
    for action in actions:
        command = limiter(action, parameters, elapsed, None)
        assert math.hypot(*(command.linear - before[0])) <= linear * step + 1e-9
        assert math.hypot(*(command.angular - before[1])) <= angular * step + 1e-9
        before, step = (command.linear, command.angular), min(elapsed, TICK)


@settings(max_examples=50, deadline=None)
@given(
    arrays(float, 3, elements=strategies.floats(-0.1, 0.1)),
    strategies.lists(SENSIBLE, min_size=1, max_size=10),
    strategies.floats(0.2, 20),
)
def test_arm_never_leaves_its_workspace_and_brakes_no_harder_than_it_may(start, actions, limit):
    box = np.array([[-0.1, -0.1, -0.1], [0.1, 0.1, 0.1]])
    parameters = replace(
        FREE, workspace=tuple(box.ravel()), max_linear_acceleration=limit, max_linear_velocity=1.0
    )
    limiter, position, before = Limiter(), start.copy(), np.zeros(3)
    for action in actions:
        for _ in range(25):  # half a second each
            command = limiter(action, parameters, TICK, position)
            assert np.all(np.abs(command.linear - before) <= limit * TICK + 1e-9)
            position, before = position + command.linear * TICK, command.linear
            assert np.all(position >= box[0] - 1e-9)
            assert np.all(position <= box[1] + 1e-9)


def test_outside_the_workspace_only_the_way_back_is_open():
    parameters = replace(FREE, workspace=(0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    outside = np.array([-0.1, 0.5, 1.2])
    command = limited([-0.01, 0.01, 0.01, 0, 0, 0, 0], parameters, position=outside)
    np.testing.assert_allclose(command.linear, [0, 0.1, 0])
    assert command.limited == ('workspace',)
    command = limited([0.01, 0.01, -0.01, 0, 0, 0, 0], parameters, position=outside)
    np.testing.assert_allclose(command.linear, [0.1, 0.1, -0.1])
    assert command.limited == ()


def test_velocity_within_the_limits_is_untouched():
    command = limited([0.01, 0, -0.02, 0, 0, 0.05, 1.7])
    np.testing.assert_allclose(command.linear, [0.1, 0, -0.2])
    np.testing.assert_allclose(command.angular, [0, 0, 0.5])
    assert command.gripper == 1.0
    assert command.limited == ()


def test_slower_than_the_deadband_is_at_rest():
    parameters = replace(FREE, deadband_linear_velocity=0.01, deadband_angular_velocity=0.02)
    command = limited([0.0009, 0, 0, 0, 0.0019, 0, 0], parameters)
    assert not np.any(command.linear)
    assert not np.any(command.angular)
    command = limited([0.0011, 0, 0, 0, 0.0021, 0, 0], parameters)
    assert np.any(command.linear)
    assert np.any(command.angular)


def test_after_a_rest_the_arm_starts_from_zero():
    parameters = replace(FREE, max_linear_acceleration=1.0)
    limiter, action = Limiter(), np.array([0.04, 0, 0, 0, 0, 0, 0])
    fast = [limiter(action, parameters, TICK, None).linear[0] for _ in range(5)]
    np.testing.assert_allclose(fast, TICK * np.arange(1, 6))
    limiter.rest()
    np.testing.assert_allclose(limiter(action, parameters, TICK, None).linear[0], TICK)


@pytest.mark.parametrize(
    ('number', 'convention', 'opening'),
    [
        (1.0, {}, 1.0),
        (0.25, {}, 0.25),
        (-1.0, {'gripper_open': -1.0, 'gripper_closed': 1.0}, 1.0),  # as in LIBERO
        (0.5, {'gripper_open': -1.0, 'gripper_closed': 1.0}, 0.25),
        (-0.3, {}, 0.0),
        (1.3, {}, 1.0),
    ],
)
def test_units_and_gripper_sign_are_those_of_the_parameters(number, convention, opening):
    parameters = replace(FREE, translation_scale=0.05, rotation_scale=0.5, **convention)
    action = np.array([1.0, 0, 0, 0, 0, -1.0, number])
    linear, angular, found = velocities(action, parameters)
    np.testing.assert_allclose(linear, [0.5, 0, 0])
    np.testing.assert_allclose(angular, [0, 0, -5.0])
    assert found == pytest.approx(opening)


def test_waiting_and_stopping_are_zeros_that_leave_the_gripper():
    for command, ends in ((WAIT, False), (STOP, True)):
        assert command.linear.tolist() == command.angular.tolist() == [0, 0, 0]
        assert (command.gripper, command.limited, command.stop) == (None, (), ends)


def test_a_vector_is_cut_to_exactly_its_limit_and_not_before():
    kept, cut = limit_norm(np.array([3.0, 0, -4.0]), 5.0)
    assert (kept.tolist(), cut) == ([3, 0, -4], False)
    kept, cut = limit_norm(np.array([4.0, 4.0, 4.0]), 6.0)  # each less than the limit
    np.testing.assert_allclose(kept, np.full(3, math.sqrt(12)))
    assert cut is True
    kept, cut = limit_norm(np.array([3.0, 0, -4.0]), 2.5)
    np.testing.assert_allclose(kept, [1.5, 0, -2])
    assert cut is True
    for limit in (0.0, 1.0):
        kept, cut = limit_norm(np.zeros(3), limit)
        assert (kept.tolist(), cut) == ([0, 0, 0], False)
    kept, cut = limit_norm(np.array([0.5, 0, 0]), 0.0)
    assert (kept.tolist(), cut) == ([0, 0, 0], True)
    # one number that overflowed is all that counts, and its sign stays
    kept, cut = limit_norm(np.array([1.0, -np.inf, 5.0]), 2.0)
    assert (kept.tolist(), cut) == ([0, -2, 0], True)
    kept, cut = limit_norm(np.array([np.inf, -np.inf, 5.0]), 2.0)
    np.testing.assert_allclose(kept, [np.sqrt(2), -np.sqrt(2), 0])


def test_what_overflows_is_cut_down_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        command = limited(np.full(7, 1e308), replace(FREE, translation_scale=10.0))
    np.testing.assert_allclose(command.linear, np.full(3, 0.4 / np.sqrt(3)))
    np.testing.assert_allclose(command.angular, np.full(3, 0.9 / np.sqrt(3)))


def test_a_velocity_of_just_the_deadband_is_at_rest():
    parameters = replace(FREE, deadband_linear_velocity=0.25, deadband_angular_velocity=0.5)
    command = limited([0.025, 0, 0, 0, 0, 0.05, 0], parameters)
    assert not command.linear.any() and not command.angular.any()


@pytest.mark.parametrize(
    ('action', 'changes', 'bounds'),
    [
        ([1, 0, 0, 0, 0, 0, 0], {}, ('velocity',)),
        ([0, 0, 0, 0, 0, 1, 0], {}, ('velocity',)),
        ([0.01, 0, 0, 0, 0, 0, 0], {'max_linear_acceleration': 0.1}, ('acceleration',)),
        ([0, 0, 0, 0, 0, 0.01, 0], {'max_angular_acceleration': 0.1}, ('acceleration',)),
        ([1, 0, 0, 0, 0, 0, 0], {'max_linear_acceleration': 0.1}, ('velocity', 'acceleration')),
        ([1, 0, 0, 0, 0, 0, 0], {'workspace': (0, 0, 0, 1, 1, 1)}, ('velocity', 'workspace')),
    ],
)
def test_whatever_bounds_a_command_is_named(action, changes, bounds):
    place = np.array([1.0, 0.5, 0.5])  # at a wall
    assert limited(action, replace(FREE, **changes), position=place).limited == bounds


def test_only_the_time_since_the_last_command_counts_after_the_first():
    parameters = replace(FREE, max_linear_acceleration=1.0, max_angular_acceleration=2.0)
    limiter, action = Limiter(), np.array([0.04, 0, 0, 0, 0, 0.08, 0])

    def go(elapsed):
        command = limiter(action, parameters, elapsed, None)
        return [command.linear[0], command.angular[2]]

    for _ in range(2):
        # from rest a whole period, however long the rest was
        np.testing.assert_allclose(go(0.0), [TICK, 2 * TICK])
        np.testing.assert_allclose(go(0.25 * TICK), [1.25 * TICK, 2.5 * TICK])
        np.testing.assert_allclose(go(-1.0), [1.25 * TICK, 2.5 * TICK])
        np.testing.assert_allclose(go(9.0), [2.25 * TICK, 4.5 * TICK])
        limiter.rest()


def test_what_is_asked_for_is_reached_and_kept():
    parameters = replace(FREE, max_linear_acceleration=2.0, max_angular_acceleration=4.0)
    limiter, action = Limiter(), np.array([0.01, -0.02, 0, 0, 0.03, 0, 0.5])
    for _ in range(20):
        command = limiter(action, parameters, TICK, None)
    np.testing.assert_allclose(command.linear, [0.1, -0.2, 0])
    np.testing.assert_allclose(command.angular, [0, 0.3, 0])
    assert command.limited == ()
    command = limiter(np.zeros(7), parameters, TICK, None)
    assert command.linear[1] > -0.2 and command.limited == ('acceleration',)


def test_speed_towards_a_wall_is_what_can_still_be_braked():
    parameters = replace(FREE, workspace=(0.5, 0.5, 0.5, 1.5, 1.5, 1.5))
    parameters = replace(parameters, max_linear_velocity=5.0, max_linear_acceleration=0.5)
    limiter = Limiter()
    limiter._linear, limiter._resting = np.array([2.0, -2.0, 0.001]), False
    command = limiter(np.full(7, 9.0), parameters, 0.0, np.array([1.4, 0.7, 1.0]))
    step = 0.5 * TICK
    fastest = [math.sqrt(step**2 + 2 * 0.5 * room) - step for room in (0.1, 0.2)]
    np.testing.assert_allclose(command.linear, [fastest[0], -fastest[1], 0.001], rtol=1e-9)
    # v T + v^2 / (2 a) is the room
    np.testing.assert_allclose(fastest[0] * TICK + fastest[0] ** 2, 0.1)
    assert command.limited == ('velocity', 'acceleration', 'workspace')
