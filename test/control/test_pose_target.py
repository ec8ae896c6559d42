# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A target pose moves as the velocities say, and never far from the arm."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies
from hypothesis.extra.numpy import arrays
import numpy as np
from vla_cache_ros.control.motion.pose_target import exponential
from vla_cache_ros.control.motion.pose_target import logarithm
from vla_cache_ros.control.motion.pose_target import multiply
from vla_cache_ros.control.motion.pose_target import PoseTarget

DOWN = np.array([0.4, 0.1, 0.3, np.pi, 0, 0])
VECTOR = arrays(float, 3, elements=strategies.floats(-1.8, 1.8))


@settings(max_examples=50, deadline=None)
@given(VECTOR)
def test_rotation_vector_survives_its_quaternion(vector):
    if np.linalg.norm(vector) < np.pi - 1e-6:
        np.testing.assert_allclose(logarithm(exponential(vector)), vector, atol=1e-9)


def test_first_turn_is_the_right_factor():
    quarter = np.pi / 2
    both = multiply(exponential(np.array([0, 0, quarter])), exponential(np.array([quarter, 0, 0])))
    third = 2 * np.pi / 3 / np.sqrt(3)
    np.testing.assert_allclose(logarithm(both), [third, third, third], atol=1e-9)


def test_velocities_held_for_a_second_make_their_displacement():
    target = PoseTarget(10.0, 10.0)
    for _ in range(50):
        target.advance(np.array([0.1, 0, -0.2]), np.array([0, 0, 0.5]), 0.02, DOWN)
    np.testing.assert_allclose(target.position, [0.5, 0.1, 0.1])
    turned = multiply(target.quaternion, exponential(DOWN[3:]) * [-1, -1, -1, 1])
    np.testing.assert_allclose(logarithm(turned), [0, 0, 0.5], atol=1e-9)


def test_arm_that_is_blocked_is_not_led_further_than_the_leash():
    target = PoseTarget(0.05, 0.2)
    for _ in range(500):
        target.advance(np.array([0.3, 0, 0]), np.array([0, 1.0, 0]), 0.02, DOWN)
    assert np.linalg.norm(target.position - DOWN[:3]) <= 0.05 + 1e-9
    turned = multiply(target.quaternion, exponential(DOWN[3:]) * [-1, -1, -1, 1])
    assert np.linalg.norm(logarithm(turned)) <= 0.2 + 1e-9
    assert np.linalg.norm(logarithm(turned)) > 0.19


def test_hold_ends_the_lead():
    target = PoseTarget(0.05, 0.2)
    target.advance(np.array([1.0, 0, 0]), np.zeros(3), 0.02, DOWN)
    target.hold(DOWN)
    np.testing.assert_allclose(target.position, DOWN[:3])
    np.testing.assert_allclose(target.quaternion, exponential(DOWN[3:]))
