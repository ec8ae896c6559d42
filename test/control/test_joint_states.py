# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Joint states come in parts, from several publishers, in any order."""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import JointState
from vla_cache_ros.control.sensing.joints import JointStates
from vla_cache_ros.control.sensing.joints import REORDERED
from vla_cache_ros.control.sensing.robot import state_layout
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.control.vla_parameters import VLAParameters

MS = 1_000_000
NOW = 1_700_000_000 * 10**9
FINGERS = ('left', 'right')


def joints(ms, **positions):
    """Return joint states stamped ms after NOW."""
    message = JointState(name=list(positions), position=list(positions.values()))
    stamp = NOW + round(ms * MS)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


def problem(states, ms, timeout=0.1):
    """Return what is wrong ms after NOW."""
    return states.problem(NOW + ms * MS, timeout)


PARTS = st.lists(
    st.tuples(
        st.integers(0, 500),
        st.dictionaries(st.sampled_from(['left', 'right', 'elbow']), st.floats(-9, 9), min_size=1),
    ),
    max_size=20,
    unique_by=lambda part: part[0],
)


@settings(max_examples=100, deadline=None)
@given(PARTS)
def test_the_newest_of_each_joint_stays_whatever_the_order(parts):
    states, expected = JointStates(FINGERS), {}
    for ms, positions in parts:
        used = {k: v for k, v in positions.items() if k in FINGERS}
        assert states.take(joints(ms, **positions)) == bool(used)
        for name, position in used.items():
            expected[name] = max(expected.get(name, (-1, 0.0)), (ms, position))
    assert states.positions == {name: position for name, (_, position) in expected.items()}
    assert states.stamps == {name: NOW + ms * MS for name, (ms, _) in expected.items()}
    assert states.complete == (set(expected) == set(FINGERS))


def test_joints_are_missed_by_name_with_those_that_came():
    states = JointStates(FINGERS)
    assert problem(states, 0) == ('no', 'waiting for state joint_states (left, right)')
    states.take(joints(0, elbow=1.0, left=0.1))
    cause, text = problem(states, 0)
    assert cause == 'no' and 'expected the joints right, got so far elbow, left' in text


def test_a_message_without_the_fingers_neither_renews_nor_spoils_them():
    states = JointStates(FINGERS)
    states.take(joints(0, left=0.1, right=0.2))
    assert not states.take(joints(90, elbow=float('nan')))
    assert not states.take(JointState(position=[1.0]))
    assert problem(states, 90) is None
    cause, text = problem(states, 110)
    assert cause == 'stale' and 'joint_states (left)' in text and '0.11 s ago' in text


def test_the_older_of_two_publishers_is_named():
    states = JointStates(FINGERS)
    states.take(joints(0, right=0.1))
    states.take(joints(200, left=0.1))
    cause, text = problem(states, 250)
    assert cause == 'stale' and '(right)' in text and '0.25 s ago' in text


def test_a_joint_that_is_not_finite_stays_a_fault_until_it_is_itself_good_again():
    states = JointStates(FINGERS)
    states.take(joints(0, left=0.1, right=0.2))
    states.take(joints(10, left=float('nan')))
    states.take(joints(20, right=0.3))
    assert problem(states, 20)[0] == 'bad' and 'left, got nan' in problem(states, 20)[1]
    states.take(joints(30, left=0.4))
    assert problem(states, 30) is None and states.positions == {'left': 0.4, 'right': 0.3}


def test_a_joint_without_its_position_is_a_fault_only_where_it_is_used():
    states = JointStates(FINGERS)
    states.take(JointState(name=['elbow', 'wrist'], position=[1.0]))
    assert problem(states, 0)[0] == 'no'
    states.take(JointState(name=['elbow', 'left'], position=[1.0]))
    assert problem(states, 0) == (
        'bad', 'joint_states: expected a position for left, got 1 for 2 names',
    )  # fmt: skip


def test_a_clock_that_was_set_back_begins_anew():
    states = JointStates(['left'])
    states.take(joints(0, left=0.1))
    states.take(joints(-REORDERED / MS, left=0.2))
    assert states.positions == {'left': 0.1}
    states.take(joints(-REORDERED / MS - 1, left=0.3))
    assert states.positions == {'left': 0.3}


def test_fingers_are_scaled_then_moved():
    layout = StateLayout(FINGERS, (1.0, -1.0), (0.0, 0.04))
    pose = np.arange(6.0)
    state = layout.vector(pose, {'left': 0.03, 'right': 0.01})
    assert state.dtype == np.float32
    assert state == pytest.approx([0, 1, 2, 3, 4, 5, 0.03, 0.03])


def test_one_angle_makes_two_fingers():
    knuckle = ('knuckle', 'knuckle')
    state = StateInput(StateLayout(knuckle, (-0.05, 0.05), (0.04, -0.04), arm_joints=('a',)))
    for angle, travel in ((0.0, 0.04), (0.4, 0.02), (0.8, 0.0)):
        state.take('joint_states', joints(0, a=1.0, knuckle=angle))
        assert state.newest(0).vector == pytest.approx([1.0, travel, -travel])


def test_a_state_in_joint_space_needs_no_pose():
    state = StateInput(StateLayout(('finger',), arm_joints=('b', 'a')))
    assert state.topics == ('joint_states',)
    state.take('joint_states', joints(10, a=1.0, b=2.0))
    assert state.newest(0) is None
    state.take('joint_states', joints(20, finger=0.5))
    found = state.newest(0)
    assert found.vector.tolist() == [2.0, 1.0, 0.5]
    assert found.stamps == [NOW + 10 * MS]
    assert found.joint_stamps == (NOW + 10 * MS, NOW + 10 * MS, NOW + 20 * MS)
    assert state.newest(NOW + 11 * MS) is None


@pytest.mark.parametrize(
    ('layout', 'size', 'told'),
    [
        (StateLayout(('a',)), 8, 'finger_joints: expected 2, .* 8 .* got 1 \\(a\\)'),
        (StateLayout(FINGERS, arm_joints=('a',)), 8, 'expected 8 together, .* got 1 and 2'),
    ],
)
def test_a_state_of_another_size_than_the_models_is_refused(layout, size, told):
    with pytest.raises(ValueError, match=told):
        layout.check(size)
    layout.check(len(layout.arm_joints or range(6)) + len(layout.finger_joints))


@pytest.mark.parametrize('numbers', [(1.0,), (1.0, 1.0, 1.0), (1.0, float('nan'))])
def test_scales_of_another_number_than_the_fingers_are_refused(numbers):
    with pytest.raises(ValueError, match='finger_scale: expected 2 numbers'):
        StateLayout(FINGERS, finger_scale=numbers)


def test_joints_enter_the_state_in_the_models_own_units():
    layout = StateLayout(
        (), arm_joints=('a', 'b'), joint_scale=(0.01, -0.02), joint_offset=(0.1, 0)
    )
    np.testing.assert_allclose(layout.vector(None, {'a': 0.4, 'b': 0.4}), [30.0, -20.0], rtol=1e-6)
    with pytest.raises(
        ValueError, match='joint_scale: expected 2 numbers, one for each arm joint'
    ):
        StateLayout((), arm_joints=('a', 'b'), joint_scale=(1.0, 0.0))
    with pytest.raises(ValueError, match='joint_offset: expected 1 numbers'):
        StateLayout((), arm_joints=('a',), joint_offset=(0.0, 0.0))


def test_state_of_fourteen_joints_whose_grippers_are_among_them_ends_with_them():
    joints = tuple(f'joint{number}' for number in range(14))
    given = VLAParameters(
        output='joint_positions', state_space='joints', arm_joints=joints, gripper_output='joint'
    )
    layout = state_layout(given)
    layout.check(14)
    positions = {name: 0.1 * number for number, name in enumerate(joints)}
    np.testing.assert_allclose(layout.vector(None, positions), 0.1 * np.arange(14), rtol=1e-6)


def test_joint_space_without_joints_contradicts_itself():
    text = VLAParameters(state_space='joints').contradiction()
    assert text.startswith('arm_joints: expected the joints') and text.endswith('got []')
    assert not VLAParameters(state_space='joints', arm_joints=('a',)).contradiction()
