# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""States of a recording: joints in parts, poses out of /tf, and those of a live node exactly."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bag_samples import image
from bag_samples import MS
from bag_samples import named_joints
from bag_samples import pose
from bag_samples import recording
from bag_samples import report
from bag_samples import START
from bag_samples import string
from bag_samples import transform
from bag_samples import write_bag
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.transforms import TransformBuffer

TOPICS = BagTopics()
TF = BagTopics(pose='/tf', ee_frame='tool0')
JOINTS = BagTopics(arm_joints=('a1', 'a2'), finger_joints=('grip',), pose='')
STATIC = transform(START - 10**12, 'flange', 'tool0', 0.25)  # stamped when the robot booted
SOURCES = {
    '/joint_states': 'joint_states', '/end_effector_pose': 'end_effector_pose', '/tf': 'tf',
    '/tf_static': 'tf_static',
}  # fmt: skip


def steps_of(folder, topics, notes=None):
    """Return all steps of a bag."""
    return list(walk(Bag(folder), topics, Cadence(0.4), notes))


def with_tf(seconds=2.0):
    """Return a recording whose pose is in /tf, a chain of three links."""
    messages = [m for m in recording(seconds) if m[1] != '/end_effector_pose']
    for ms in range(0, round(1000 * seconds), 20):
        stamp = START + ms * MS
        messages.append((stamp + MS, '/tf', transform(stamp, 'base_link', 'arm', ms * 1e-3)))
        messages.append((stamp + MS, '/tf', transform(stamp, 'arm', 'flange', 0.5)))
    messages.append((START + 300 * MS, '/tf_static', STATIC))  # recorded once, and late
    return sorted(messages, key=lambda triple: triple[0])


def test_the_pose_is_looked_up_in_tf(tmp_path):
    steps = steps_of(write_bag(tmp_path / 'bag', with_tf()), TF)
    assert [(step.stamp - START) // MS for step in steps] == [0, 400, 800, 1200, 1600]
    xs = [step.observation.proprio[0] for step in steps]
    assert xs == pytest.approx([0.75 + 0.4 * k for k in range(5)])


def test_a_frame_that_tf_lacks_is_noted_with_those_there_are(tmp_path):
    notes = Counter()
    folder = write_bag(tmp_path / 'bag', with_tf(1.0))
    assert steps_of(folder, replace(TF, ee_frame='gripper'), notes) == []
    assert any(
        'from base_link to gripper, got the frames arm, base_link, flange, tool0' in note
        for note in notes
    )


def test_tf_is_missed_by_the_option_that_names_it(tmp_path):
    bag = Bag(write_bag(tmp_path / 'bag', recording(0.5)))
    with pytest.raises(ValueError, match=r'/tf \(tf2_msgs/msg/TFMessage, --pose-topic\)'):
        TF.check(bag, needs_state=True)
    with pytest.raises(ValueError, match='--pose-topic; or --ee-frame in /tf'):
        replace(TOPICS, pose='/pose').check(bag, needs_state=True)


def test_joints_of_two_publishers_make_one_state(tmp_path):
    messages = [m for m in recording(1.0) if m[1] != '/joint_states']
    for ms in range(0, 1000, 10):
        stamp = START + ms * MS
        messages.append((stamp + MS, '/joint_states', named_joints(stamp, elbow=float('nan'))))
        one = f'finger_joint{1 + ms // 10 % 2}'
        messages.append((stamp + MS, '/joint_states', named_joints(stamp, **{one: ms * 1e-5})))
    messages.sort(key=lambda triple: triple[0])
    fingers = {'finger_scale': (1.0, -2.0), 'finger_offset': (0.0, 0.1)}
    steps = steps_of(write_bag(tmp_path / 'bag', messages), replace(TOPICS, **fingers))
    assert len(steps) == 3
    later = steps[1].observation.proprio
    assert (steps[1].stamp - START) // MS == 400
    assert later[6:] == pytest.approx([0.004, 0.1 - 2 * 0.0041])


def test_a_state_in_joint_space_needs_no_pose_in_the_bag(tmp_path):
    messages = [m for m in recording(1.0) if m[1] not in ('/joint_states', '/end_effector_pose')]
    for ms in range(0, 1000, 20):
        stamp = START + ms * MS
        arm = named_joints(stamp, a2=0.2, a1=ms * 1e-3)
        messages.append((stamp + MS, '/joint_states', arm))
        messages.append((stamp + MS, '/joint_states', named_joints(stamp, grip=0.5)))
    messages.sort(key=lambda triple: triple[0])
    steps = steps_of(write_bag(tmp_path / 'bag', messages), JOINTS)
    assert steps[1].observation.proprio == pytest.approx([0.4, 0.2, 0.5])


def run_live(messages, topics):
    """Return messages with the reports of a node that took them, and the states it used."""
    pose = PoseSource('base_link', topics.ee_frame, TransformBuffer() if topics.ee_frame else None)
    if not topics.ee_frame:
        pose = PoseSource()
    state = StateInput(topics.layout, pose if topics.layout.needs_pose else None)
    inputs = Inputs(topics.images, state)
    inputs.take_instruction('go')
    found, used = [], []
    for time, topic, message in messages:
        found.append((time, topic, message))
        if SOURCES.get(topic) in inputs.states:
            inputs.take_state(SOURCES[topic], message)
        elif topic in topics.images:
            inputs.take_image(topic, message, time * 1e-9)
            frames = inputs.newest_set(0, 0.1)
            if frames is None or inputs.problems(time, 0.5, 0.5, 0.1):
                continue
            used.append(frames.state.vector)
            text = report(
                1, len(used), [frame.stamp for frame in frames.images], frames.state.stamps,
                joint_stamps=list(frames.state.joint_stamps),
            )  # fmt: skip
            found.append((time + 300 * MS, '/vla_node/step_report', text))
    return sorted(found, key=lambda triple: triple[0]), used


TIMES = st.lists(st.integers(0, 400), min_size=1, max_size=12)


@pytest.mark.parametrize('topics', [TOPICS, TF, JOINTS], ids=['pose', 'tf', 'joints'])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_reports_give_the_very_states_that_the_live_node_used(topics, data):
    messages = [(START, '/instruction', string('go')), (START, '/tf_static', STATIC)]

    def add(topic, make):
        for ms in data.draw(TIMES):
            delay = data.draw(st.integers(0, 30))
            messages.append((START + (ms + delay) * MS, topic, make(START + ms * MS, ms)))

    for names in (('finger_joint1', 'a1'), ('finger_joint2', 'grip'), ('a2', 'finger_joint1')):
        add(
            '/joint_states',
            lambda stamp, ms, names=names: named_joints(
                stamp, **{name: ms * 1e-3 + len(name) for name in names}
            ),
        )
    add('/end_effector_pose', lambda stamp, ms: pose(stamp, ms * 1e-3))
    for parent, child in (('base_link', 'arm'), ('arm', 'flange')):
        add('/tf', lambda s, ms, p=parent, c=child: transform(
            s, p, c, ms * 1e-3, (0.0, 0.0, np.sin(ms * 1e-3), np.cos(ms * 1e-3))
        ))  # fmt: skip
    for ms in range(50, 450, 100):
        for camera in topics.images:
            messages.append((START + (ms + 3) * MS, camera, image(START + ms * MS, 99)))
    messages.sort(key=lambda triple: triple[0])
    messages, used = run_live(messages, topics)
    if not used:
        return
    with TemporaryDirectory() as folder:
        notes = Counter()
        steps = steps_of(write_bag(Path(folder) / 'bag', messages, zstd=False), topics, notes)
    assert not notes
    for step, vector in zip(steps, used, strict=True):
        assert np.array_equal(step.observation.proprio, vector)
