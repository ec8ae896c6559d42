# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever a model wants of the joints, what they are sent is gradual, bounded, and gets there."""

from dataclasses import replace

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
import numpy as np
import pytest
from vla_cache_ros.control.motion.joint_limits import JointLimiter
from vla_cache_ros.control.vla_parameters import VLAParameters

LOW, HIGH = np.array([-1.0, -0.2]), np.array([0.5, 2.0])
TWO = VLAParameters(
    output='joint_positions',
    arm_joints=('shoulder', 'elbow'),
    joint_lower=tuple(LOW),
    joint_upper=tuple(HIGH),
    max_joint_velocity=(1.0, 0.4),
    max_joint_acceleration=(5.0,),
    control_frequency=10.0,
)
DELTA = replace(TWO, joint_actions='delta')
TICK, LASTS = 1 / TWO.publish_rate, 1 / TWO.control_frequency
WITHIN = st.tuples(st.floats(-1.0, 0.5), st.floats(-0.2, 2.0)).map(np.array)
WANTED = st.one_of(
    arrays(float, 2, elements=st.floats(-2, 3)),
    arrays(float, 2, elements=st.floats(-1e300, 1e300)),
)


def follow(targets, start, parameters=TWO, elapsed=TICK, lag=0, limiter=None):
    """Yield the command for each target [2]; the arm follows at once or so many commands late."""
    limiter, sent = limiter or JointLimiter(), [np.asarray(start, float)] * (lag + 1)
    for target in targets:
        action = np.append(target, 1.0)
        command = limiter(action, parameters, elapsed, sent[-1 - lag], LASTS)
        sent.append(command.positions)
        yield command


@settings(max_examples=100, deadline=None)
@given(
    WITHIN,
    st.lists(st.tuples(WANTED, st.integers(1, 12)), min_size=1, max_size=12),
    st.sampled_from(['absolute', 'delta']),
    st.floats(0.5, 50),
    st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.02, 0.3, -1.0]), min_size=1, max_size=5),
)
def test_place_velocity_and_acceleration_of_every_joint_stay_within_their_limits(
    start, wishes, kind, acceleration, gaps
):
    parameters = replace(TWO, joint_actions=kind, max_joint_acceleration=(acceleration,))
    limiter, here, before = JointLimiter(), start, np.zeros(2)
    step = TICK  # from rest; then no more than the time that has passed
    for number, wish in enumerate(wish for wish, times in wishes for _ in range(times)):
        elapsed = gaps[number % len(gaps)]
        if number:
            step = min(max(elapsed, 0.0), TICK)
        command = limiter(np.append(wish, 0.3), parameters, elapsed, here, LASTS)
        assert np.all(command.positions >= LOW - 1e-9) and np.all(command.positions <= HIGH + 1e-9)
        assert np.all(np.abs(command.rates) <= np.array([1.0, 0.4]) + 1e-9)
        assert np.all(
            np.abs(command.rates - before) <= acceleration * step + 1e-6
        )  # of rounding, at a limit
        np.testing.assert_allclose(command.positions - here, command.rates * step, atol=1e-12)
        # and there is always room to brake
        rest = command.positions + np.sign(command.rates) * command.rates**2 / (2 * acceleration)
        assert np.all(rest >= LOW - 1e-9) and np.all(rest <= HIGH + 1e-9)
        assert command.gripper == pytest.approx(0.3)
        here, before = command.positions, command.rates


@settings(max_examples=25, deadline=None)
@given(WITHIN, WITHIN, st.floats(0.5, 50), st.integers(0, 10))
def test_target_is_reached_and_not_passed(start, target, acceleration, lag):
    parameters = replace(TWO, max_joint_acceleration=(acceleration,))
    way = np.array([c.positions for c in follow([target] * 500, start, parameters, lag=lag)])
    np.testing.assert_allclose(way[-1], target, atol=1e-6)
    towards = np.sign(target - start)
    assert np.all((way - target) * towards <= 1e-9)
    assert np.all(np.diff(way, axis=0) * towards >= -1e-9)


def test_target_is_reached_at_the_end_of_its_action_where_the_limits_allow():
    quick = replace(TWO, max_joint_velocity=(50.0,), max_joint_acceleration=(1000.0,))
    commands = list(follow([[0.3, 0.2]] * 8, [0.1, 0.0], quick))
    halfway, last = commands[2], commands[-1]
    np.testing.assert_allclose(halfway.positions, [0.2, 0.1], atol=0.02)
    np.testing.assert_allclose(last.positions, [0.3, 0.2], atol=1e-3)


def test_targets_that_move_on_evenly_are_followed_evenly():
    targets = [[0.03 * (1 + tick // 5) - 1, 0.0] for tick in range(150)]  # 0.3 rad/s at 10 Hz
    rates = np.array([c.rates[0] for c in follow(targets, [-1.0, 0.0])])
    np.testing.assert_allclose(rates[50:], 0.3, atol=0.003)


def test_all_joints_are_slowed_alike_so_that_the_way_stays_the_same():
    quick = replace(TWO, max_joint_acceleration=(1000.0,))
    *_, command = follow([[0.5, 0.5]] * 10, [0.0, 0.0], quick)
    np.testing.assert_allclose(command.rates, [0.4, 0.4])
    assert 'velocity' in command.limited


def test_changes_are_made_in_the_time_of_an_action():
    *_, command = follow([[0.05, -0.02]] * 20, [0.0, 0.0], DELTA)
    np.testing.assert_allclose(command.rates, [0.5, -0.2])
    assert command.limited == ()


def test_first_command_begins_at_where_the_arm_is():
    (command,) = follow([[0.5, 2.0]], [-0.7, 1.1])
    np.testing.assert_allclose(command.positions, [-0.7, 1.1], atol=5.0 * TICK**2 + 1e-9)


def test_after_a_wait_it_goes_on_from_what_was_commanded():
    limiter = JointLimiter()
    *_, before = follow([[0.5, 1.0]] * 30, [0.0, 0.0], limiter=limiter)
    limiter.rest()
    (after,) = follow([[0.5, 1.0]], before.positions - 0.01, limiter=limiter)  # the arm sags
    np.testing.assert_allclose(after.positions, before.positions, atol=5.0 * TICK**2 + 1e-9)
    assert np.all(np.abs(after.rates) <= 5.0 * TICK + 1e-9)


def test_beyond_a_limit_only_the_way_back_is_open():
    (out,) = follow([[0.0, -0.005]], [0.0, -0.3], DELTA)
    np.testing.assert_allclose(out.positions, [0.0, -0.3])
    assert out.limited == ('position',)
    *_, back = follow([[0.0, -5.0]] * 100, [0.0, -0.3])
    np.testing.assert_allclose(back.positions, [0.0, -0.2], atol=1e-6)


def test_command_does_not_run_away_from_an_arm_that_is_held_up():
    limiter, held = JointLimiter(), np.array([-1.0, 0.0])
    for _ in range(300):
        command = limiter(np.array([0.5, 2.0, 1.0]), TWO, TICK, held, LASTS)
    fastest = np.array([1.0, 0.4])
    lead = fastest * TWO.command_timeout + fastest**2 / (2 * 5.0)
    np.testing.assert_allclose(command.positions, held + lead, atol=1e-6)
    assert 'lead' in command.limited
    # an arm that follows late is not slowed by it
    *_, late = follow([[0.5, 0.0]] * 60, [-1.0, 0.0], lag=10)
    assert late.rates[0] == pytest.approx(1.0)
