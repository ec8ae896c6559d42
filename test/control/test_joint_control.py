# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The control loop with joints: from where the arm is, nothing without their states."""

from controller_world import World
from fake_policy import FakePolicy
import numpy as np
import pytest
from vla_cache_ros.control.motion.limits import STOP
from vla_cache_ros.control.takeover import SERVICE
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.loading import warm_up

JOINTS = ('shoulder', 'elbow')
SETTINGS = {
    'output': 'joint_positions',
    'joint_actions': 'delta',
    'arm_joints': JOINTS,
    'joint_lower': (-1.0, -1.0),
    'joint_upper': (1.0, 1.0),
    'max_joint_velocity': (2.0,),
    'max_joint_acceleration': (1000.0,),
}


def world(**parameters):
    """Return a world whose policy moves two joints: by 0.02 and -0.01 rad, gripper 0.25 open."""
    policy = FakePolicy()
    policy.action = np.array([0.02, -0.01, 0.25])
    made = World(policy, **(SETTINGS | parameters))
    made.joints(0.3, 0.1)
    return made


def positions(made):
    return [c.positions for _, c in made.sent if c.positions is not None]


def test_arm_goes_on_from_where_it_is_by_what_the_actions_say():
    made = world()
    made.image()
    assert made.think()
    made.advance(380, follow=True)
    np.testing.assert_allclose(positions(made)[0], [0.3, 0.1], atol=0.005)
    # four actions of 0.1 s, each kept up by commands every 20 ms
    np.testing.assert_allclose(positions(made)[-1], [0.38, 0.06], atol=1e-9)
    (gripper,) = {c.gripper for _, c in made.sent if c.positions is not None}
    assert gripper == 0.25
    assert all(not np.any(c.linear) and not np.any(c.angular) for _, c in made.sent)


def test_absolute_targets_are_reached_by_the_end_of_their_action():
    made = world(joint_actions='absolute', max_joint_velocity=(50.0,))
    made.policy.action = np.array([0.4, -0.2, 1.0])
    made.image()
    assert made.think()
    made.advance(120, follow=True)
    np.testing.assert_allclose(positions(made)[-1], [0.4, -0.2], atol=2e-3)


def test_numbers_in_the_models_own_units_become_rad_with_their_sign_and_zero():
    made = world(
        joint_actions='absolute',
        joint_scale=(0.01, -0.02),
        joint_offset=(0.1, -0.3),
        max_joint_velocity=(50.0,),
    )
    made.policy.action = np.array([30.0, -20.0, 1.0])
    made.image()
    assert made.think()
    made.advance(120, follow=True)
    np.testing.assert_allclose(positions(made)[-1], [0.4, 0.1], atol=2e-3)


def test_changes_are_scaled_and_know_no_zero():
    made = world(joint_scale=(0.01, -0.02), joint_offset=(0.1, -0.3))
    made.policy.action = np.array([2.0, 0.5, 1.0])
    made.image()
    assert made.think()
    made.advance(380, follow=True)
    np.testing.assert_allclose(positions(made)[-1], [0.38, 0.06], atol=1e-9)


def test_grippers_among_the_joints_move_as_these_and_nothing_else_is_sent():
    made = world(gripper_output='joint')
    made.policy.action = np.array([0.02, -0.01])
    made.image()
    assert made.think()
    made.advance(380, follow=True)
    np.testing.assert_allclose(positions(made)[-1], [0.38, 0.06], atol=1e-9)
    assert {c.gripper for _, c in made.sent} == {None}


def test_slower_rate_stretches_the_same_way():
    made = world()
    made.controller.pace.period *= 2
    made.image()
    assert made.think()
    made.advance(100, follow=True)
    np.testing.assert_allclose(np.diff(positions(made)[1:], axis=0), [[0.002, -0.001]] * 4)


def test_after_a_stop_it_begins_at_the_measured_positions():
    made = world()
    made.image()
    assert made.think()
    made.advance(100, follow=True)
    made.controller.new_episode()
    made.joints(-0.5, 0.9)  # someone else has moved it
    made.sent.clear()
    made.advance(20)
    made.joints(-0.5, 0.9)
    made.image()
    assert made.think()
    np.testing.assert_allclose(positions(made)[0], [-0.5, 0.9], atol=0.005)


def test_averaged_chunks_leave_the_gripper_to_the_newest():
    made = world(execution='ensembled', ensemble_decay=0.0, execute_steps=1)
    made.image()
    assert made.think()
    made.policy.action = np.array([0.04, -0.02, 1.0])
    made.advance(100, follow=True)
    made.image()
    assert made.think()
    made.sent.clear()
    made.advance(20, follow=True)
    command = made.sent[-1][1]
    np.testing.assert_allclose(command.rates, [0.3, -0.15])
    assert command.gripper == 1.0


def test_without_joint_states_nothing_moves_though_the_policy_takes_no_state():
    made = world()
    made.controller.inputs.forget()
    made.image()
    assert made.worker.slot is None
    assert made.controller.causes.names() == {'no_state'}
    made.joints(0.3, 0.1)
    made.image()
    assert made.think() and positions(made)
    assert made.policy.observations[-1].proprio is None
    made.advance(100)  # joint states have ended
    assert not made.controller.causes
    made.advance(40)
    assert made.controller.causes.names() == {'stale_state'}
    assert made.sent[-1][1].stop


def test_joint_that_reports_no_number_is_a_bad_state():
    made = world()
    made.image()
    made.joints(0.3, float('nan'))
    made.controller.consider()
    assert made.controller.causes.names() == {'bad_state'}


def test_action_of_another_size_is_unsafe():
    made = world()
    made.policy.action = np.zeros(7)
    made.image()
    assert made.think()
    (message,) = made.controller.causes.messages()
    assert message == 'unsafe_action: expected actions of shape [n, 3], got [8, 7]'


def test_checkpoint_whose_actions_are_not_those_of_the_joints_is_refused_with_both_numbers():
    policy = FakePolicy()
    joints = VLAParameters(image_topics=('a', 'b'), **SETTINGS)
    with pytest.raises(ValueError, match='expected actions of 3 numbers for joint_positions') as e:
        warm_up(policy, joints)
    assert 'arm_joints (shoulder, elbow) and the gripper, got 7 from this' in str(e.value)
    policy.action = np.zeros(8)
    with pytest.raises(ValueError, match='expected actions of 7 numbers for twist.* got 8 from'):
        warm_up(policy, VLAParameters(image_topics=('a', 'b')))
    policy.action = np.zeros(3)
    warm_up(policy, joints)
    alone = VLAParameters(image_topics=('a', 'b'), **SETTINGS, gripper_output='joint')
    with pytest.raises(ValueError, match=r'of 2 numbers .* arm_joints \(shoulder, elbow\), got 3'):
        warm_up(policy, alone)
    policy.action = np.zeros(2)
    warm_up(policy, alone)


CAMERAS = {'image_topics': ('a', 'b'), **SETTINGS}


@pytest.mark.parametrize(
    ('names', 'parameters', 'complaint'),
    [
        (
            ('front', 'wrist'),
            CAMERAS | {'camera_names': ('wrist', 'front')},
            'camera_names: expected front, wrist, as this checkpoint orders its cameras, got '
            'wrist, front; image_topics would be b, a',
        ),
        (
            ('front', 'wrist', 'side'),
            CAMERAS | {'camera_names': ('front', 'wrist')},
            'camera_names: expected front, wrist, side, as this checkpoint orders its cameras, '
            'got front, wrist; image_topics would be a, b, (no camera for side)',
        ),
        (
            (),
            CAMERAS | {'camera_names': ('front', 'wrist')},
            'camera_names: expected none, as this checkpoint orders its cameras, got front, '
            'wrist; image_topics would be ',
        ),
        (
            ('front', 'wrist', 'side'),
            CAMERAS,
            'image_topics: expected 3 in the order front, wrist, side for this checkpoint, got 2 '
            '(a, b)',
        ),
        ((), CAMERAS, 'image_topics: expected 3 for this checkpoint, got 2 (a, b)'),
    ],
    ids=['order', 'lacking', 'nameless', 'number', 'nameless number'],
)
def test_cameras_that_are_not_the_checkpoints_are_refused_with_its_order(
    names, parameters, complaint
):
    policy = FakePolicy()
    policy.camera_names, policy.num_images = names, len(names) or 3
    with pytest.raises(ValueError) as error:
        warm_up(policy, VLAParameters(**parameters))
    assert str(error.value) == complaint


def test_cameras_in_the_order_of_the_checkpoint_are_taken():
    policy = FakePolicy()
    policy.camera_names, policy.action = ('front', 'wrist'), np.zeros(3)
    warm_up(policy, VLAParameters(**CAMERAS, camera_names=('front', 'wrist')))
    one = VLAParameters(**CAMERAS, camera_names=('front',)).contradiction()
    assert one.startswith('camera_names: expected none, or one for each of image_topics, got')


@pytest.mark.parametrize(
    ('changed', 'complaint'),
    [
        ({'arm_joints': ()}, 'arm_joints: expected the joints of the arm for output joint_pos'),
        ({'arm_joints': ('elbow', 'elbow')}, 'arm_joints: expected each joint once, got'),
        (
            {'joint_lower': (-1.0,)},
            'joint_lower: expected 2 numbers, one for each of arm_joints, ',
        ),
        ({'joint_upper': ()}, 'joint_upper: expected 2 numbers, one for each of arm_joints, got'),
        ({'joint_scale': (1.0,)}, 'joint_scale: expected none or 2 numbers, one for each of arm_'),
        ({'joint_scale': (1.0, 0.0)}, 'joint_scale: expected numbers other than 0, got [1.0, 0.0'),
        ({'joint_offset': (0.0,) * 3}, 'joint_offset: expected none or 2 numbers, one for each'),
        ({'joint_lower': (0.0, 1.0)}, 'joint_lower: expected less than joint_upper ([1.0, 1.0])'),
        ({'max_joint_velocity': (1.0,) * 3}, 'max_joint_velocity: expected 1 or 2 numbers, one'),
        ({'max_joint_acceleration': (1.0,) * 3}, 'max_joint_acceleration: expected 1 or 2 numb'),
        ({'workspace': (0.0,) * 3 + (1.0,) * 3}, 'workspace: expected none with output joint_pos'),
    ],
)
def test_contradiction_of_joint_parameters_is_one_line(changed, complaint):
    assert VLAParameters(**SETTINGS).contradiction() == ''
    found = VLAParameters(**(SETTINGS | changed)).contradiction()
    assert found.startswith(complaint) and '\n' not in found
    # nothing of it concerns an arm that is commanded by its end effector
    changed = {'output': 'twist'} | changed
    if 0.0 not in changed.get('joint_scale', ()):
        assert VLAParameters(**(SETTINGS | changed)).contradiction() == ''


def test_grippers_among_the_joints_need_joints():
    complaint = 'gripper_output: expected joint_positions or joint_trajectory as output with joint'
    assert VLAParameters(gripper_output='joint').contradiction() == f'{complaint}, got joint'
    assert VLAParameters(**SETTINGS, gripper_output='joint').contradiction() == ''


def test_a_persons_twist_takes_joints_over_and_stops_them_by_name():
    made = world()
    made.image()
    made.think()
    made.advance(40, follow=True)
    made.time += 5_000_000
    made.controller.takeover.hear(np.array([0, 0.1, 0, 0, 0, 0]), made.time, '')
    assert made.sent[-1][1] is STOP
    assert made.controller.takeover.person
    assert made.controller.causes.names() == {'bad_teleop'}
    made.sent.clear()
    made.advance(200)
    assert {command is STOP for _, command in made.sent} == {True}
    made.controller.takeover.give(False, SERVICE)
    made.joints(0.3, 0.1)
    made.image()
    made.think()
    made.advance(40, follow=True)
    assert positions(made) and not made.controller.causes
