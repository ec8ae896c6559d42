# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node takes the state and the instruction as drivers and people publish them."""

import sys
import time
from types import ModuleType
from types import SimpleNamespace

from fake_policy import FakePolicy
from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from vla_cache_ros.control.sensing.transforms import NoTransform
from vla_cache_ros.control.sensing.transforms import TransformBuffer
from vla_cache_ros.ros.qos import LATCHED_PARTS
from vla_cache_ros.ros.transforms import make_buffer
from vla_cache_ros.ros.transforms import Tf2Buffer
from vla_cache_ros.ros.vla_node import VLANode

MOVING = VLA_PARAMETERS | {'execution': 'asynchronous'}  # without a pause between two chunks


@pytest.fixture
def policy():
    return FakePolicy()


def stamped(outside, message):
    """Return a message with the stamp of now."""
    message.header.stamp = outside.get_clock().now().to_msg()
    return message


def test_fingers_are_heard_beside_an_arm_that_is_four_times_as_fast(policy):
    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS) as graph:
        outside = graph.outside
        outside.names, outside.fingers = ['elbow', 'wheel'], [0.1, float('nan')]
        second = outside.create_publisher(JointState, 'joint_states', 1)
        assert graph.transition('configure') and graph.transition('activate')
        outside.instruct('push the cube')
        assert graph.wait(lambda: graph.told_of('no_state'))
        assert graph.wait(lambda: 'got so far elbow, wheel' in outside.health[-1]['message'])
        fingers = JointState(name=['finger_joint2', 'finger_joint1'], position=[0.02, 0.01])
        outside.create_timer(0.16, lambda: second.publish(stamped(outside, fingers)))
        assert graph.wait(lambda: len(outside.reports) >= 3)
        assert policy.observations[-1].proprio[6:] == pytest.approx([0.01, 0.02])
        report = outside.reports[-1]
        assert report['joint_stamps'] == [report['state_stamps'][1]] * 2
        assert graph.wait(lambda: outside.health[-1]['stop causes'] == 'none')


def test_a_state_in_joint_space_needs_no_pose(policy):
    policy.proprio_size = 4
    parameters = VLA_PARAMETERS | {'state_space': 'joints', 'arm_joints': ['b', 'a']}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        graph.outside.names = ['a', 'b', 'finger_joint1', 'finger_joint2']
        graph.outside.fingers = [1.0, 2.0, 0.3, 0.4]
        graph.outside.silent.add('end_effector_pose')
        graph.healthy_start()
        assert policy.observations[-1].proprio == pytest.approx([2.0, 1.0, 0.3, 0.4])


def test_fingers_of_another_number_than_the_models_fail_configure(policy):
    parameters = VLA_PARAMETERS | {'finger_joints': ['thumb']}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        assert not graph.transition('configure')
        assert graph.wait(
            lambda: graph.logged(
                "finger_joints: expected 2, as this checkpoint's state has 8 numbers and a pose "
                '6 of them, got 1 (thumb)'
            )
        )


def test_an_instruction_that_is_not_latched_is_heard(policy):
    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS) as graph:
        plain = graph.outside.create_publisher(String, 'instruction', 10)
        assert graph.transition('configure') and graph.transition('activate')
        assert graph.wait(lambda: plain.get_subscription_count())
        plain.publish(String(data='push the cube'))
        assert graph.wait(graph.outside.moving)
        assert policy.observations[-1].instruction == 'push the cube'


def test_an_instruction_that_is_heard_twice_restarts_nothing(policy):
    with Graph(VLANode, lambda _: policy, parameters=MOVING) as graph:
        graph.healthy_start('push the cube')
        begin = time.monotonic()
        graph.outside.instruct('push the cube')
        assert graph.wait(lambda: graph.outside.twists[-1][2] > begin + 0.5)
        twists = [twist[1] for twist in graph.outside.twists if twist[2] > begin]
        assert len(twists) > 5 and all(np.any(twist) for twist in twists)


def link(parent, child, x=0.0):
    """Return a transform."""
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.transform.translation.x = x
    return made


def install_messages(monkeypatch):
    """Stand in for tf2_msgs, of which there is no wheel: its message is one transform here."""
    module = ModuleType('tf2_msgs')
    module.msg = ModuleType('tf2_msgs.msg')
    module.msg.TFMessage = TransformStamped
    monkeypatch.setitem(sys.modules, 'tf2_msgs', module)
    monkeypatch.setitem(sys.modules, 'tf2_msgs.msg', module.msg)


def test_the_pose_comes_from_tf(policy, monkeypatch):
    install_messages(monkeypatch)
    one = property(lambda self: [self])
    monkeypatch.setattr(TransformStamped, 'transforms', one, raising=False)
    parameters = VLA_PARAMETERS | {'ee_frame': 'tool0', 'workspace': [-1.0] * 3 + [1.0] * 3}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        outside = graph.outside
        outside.silent.add('end_effector_pose')
        assert graph.transition('configure') and graph.transition('activate')
        outside.instruct('push the cube')
        assert graph.wait(lambda: graph.told_of('no_state'))
        moving = outside.create_publisher(TransformStamped, '/tf', 10)
        for parent, child in (('base_link', 'arm'), ('arm', 'flange')):
            publish = lambda p=parent, c=child: moving.publish(stamped(outside, link(p, c, 0.2)))  # noqa: E731
            outside.create_timer(0.04, publish)
        static = [outside.create_publisher(TransformStamped, '/tf_static', LATCHED_PARTS)] * 2
        for publisher, child in zip(static, ('tool0', 'camera'), strict=True):
            publisher.publish(link('flange', child, 0.1))
        assert graph.wait(outside.moving)
        assert policy.observations[-1].proprio[:6] == pytest.approx([0.5, 0, 0, 0, 0, 0])


def test_ee_frame_without_tf2_msgs_fails_configure_and_says_what_to_do(policy):
    if 'tf2_msgs' in sys.modules:
        pytest.skip('tf2_msgs is installed')
    parameters = VLA_PARAMETERS | {'ee_frame': 'tool0'}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        assert not graph.transition('configure')
        assert graph.wait(lambda: graph.logged('ee_frame: expected tf2_msgs'))


class TransformException(Exception):
    """What tf2 raises."""


class FakeBuffer:
    """tf2_ros.Buffer, as far as it is used."""

    def __init__(self):
        self._own = TransformBuffer()

    def set_transform(self, transform, authority, static=False):
        assert authority
        self._own.take(SimpleNamespace(transforms=[transform]), static)

    def set_transform_static(self, transform, authority):
        self.set_transform(transform, authority, static=True)

    def lookup_transform(self, target, source, time):
        try:
            stamp = time.nanoseconds or self._own.newest(target, source)
            xyz, _ = self._own.at(target, source, stamp)
        except ValueError as error:
            raise TransformException(str(error)) from error
        found = link(target, source, xyz[0])
        found.header.stamp.sec, found.header.stamp.nanosec = divmod(stamp, 10**9)
        return found


def test_tf2_is_used_where_it_is_installed(monkeypatch):
    install_messages(monkeypatch)
    monkeypatch.setitem(sys.modules, 'tf2_ros', None)
    assert isinstance(make_buffer(), TransformBuffer)
    module = SimpleNamespace(Buffer=FakeBuffer, TransformException=TransformException)
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    buffer = make_buffer()
    assert isinstance(buffer, Tf2Buffer)
    moving, static = link('base_link', 'arm', 0.2), link('arm', 'tool0', 0.1)
    moving.header.stamp.sec = 7
    buffer.take(SimpleNamespace(transforms=[static]), static=True)
    with pytest.raises(NoTransform, match='tf: expected tool0 in base_link, got'):
        buffer.newest('base_link', 'tool0')
    for _ in range(2):
        buffer.take(SimpleNamespace(transforms=[moving]), static=False)
        assert buffer.newest('base_link', 'tool0') == 7 * 10**9
        xyz, turn = buffer.at('base_link', 'tool0', 7 * 10**9)
        assert xyz == pytest.approx([0.3, 0, 0]) and turn == (0, 0, 0, 1)
        buffer.clear()  # what is static stays
        with pytest.raises(NoTransform):
            buffer.newest('base_link', 'tool0')
