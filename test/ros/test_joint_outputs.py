# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Joint commands that leave vla_node: bare positions and trajectories, held at a stop."""

from dataclasses import replace
import sys
from types import ModuleType
from types import SimpleNamespace

from joint_arm import JOINT_PARAMETERS
from joint_arm import joint_policy
from joint_arm import JointArm
from joint_arm import JOINTS
import numpy as np
import pytest
from rclpy.time import Time
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from std_srvs.srv import SetBool
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from tiny_model import tiny_tokenizer
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import STOP
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.joint_outputs import JointPositions
from vla_cache_ros.ros.joint_outputs import JointTrajectories
from vla_cache_ros.ros.qos import COMMAND
from vla_cache_ros.ros.vla_node import VLANode
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.model import init_model

PARAMETERS = VLA_PARAMETERS | JOINT_PARAMETERS


def test_arm_is_led_by_its_joints_from_where_it_is_and_held_at_a_stop():
    policy = joint_policy()
    with Graph(VLANode, lambda _: policy, parameters=PARAMETERS) as graph:
        arm = JointArm(graph.outside)
        graph.outside.arm['joint4'] = -1.5
        graph.healthy_start()
        assert graph.wait(lambda: arm.commands[-1][0] > 0.1)
        np.testing.assert_allclose(arm.commands[0], [0, 0, 0, -1.5, 0, 0, 0], atol=0.03)
        assert {command[6] for command in arm.commands} == {0.0}
        assert graph.outside.grippers[-1] == 1.0
        assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=True)).success
        assert graph.wait(lambda: graph.outside.still(0.3))
        held = arm.commands[-1]
        assert held == arm.commands[-5] and held[0] > 0.1
        assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=False)).success
        assert graph.wait(lambda: arm.commands[-1][0] > held[0] + 0.05)
        assert graph.transition('deactivate')
        assert graph.wait(lambda: arm.commands[-1] == arm.commands[-2])


def test_dry_run_sends_no_joint_anywhere():
    policy = joint_policy()
    parameters = PARAMETERS | {'dry_run': True}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        arm = JointArm(graph.outside)
        assert graph.transition('configure')
        assert graph.transition('activate')
        graph.outside.instruct('go')
        assert graph.wait(lambda: len(graph.outside.reports) >= 3)
        assert not arm.commands


def test_checkpoint_of_another_arm_fails_configure_and_both_numbers_are_logged():
    parameters = PARAMETERS | {'arm_joints': list(JOINTS[:6])}
    parameters |= {'joint_lower': [-2.9] * 6, 'joint_upper': [2.9] * 6}
    with Graph(VLANode, lambda _: joint_policy(), parameters=parameters) as graph:
        assert not graph.transition('configure')
        assert graph.wait(lambda: graph.logged('expected actions of 7 numbers for joint_pos'))
        assert graph.logged('got 8 from this checkpoint')


def test_tiny_checkpoint_of_eight_numbers_leads_seven_joints(tmp_path):
    config = tiny_config()
    config = replace(config, oft=replace(config.oft, action_dim=8))
    statistics = tiny_statistics()
    statistics['toy']['action'] = {
        'min': [-0.06] * 7 + [0.0],
        'max': [0.06] * 7 + [1.0],
        'q01': [-0.05] * 7 + [0.0],
        'q99': [0.05] * 7 + [1.0],
        'mask': [True] * 7 + [False],
    }
    save_checkpoint(tmp_path, init_model(config, 0), statistics, tiny_tokenizer())
    parameters = PARAMETERS | {'model_path': str(tmp_path), 'gate': 'motion'}
    with Graph(VLANode, parameters=parameters) as graph:
        arm = JointArm(graph.outside)
        graph.healthy_start('pick up red cube')
        assert graph.wait(lambda: len(graph.outside.reports) >= 3)
        assert np.shape(graph.outside.reports[-1]['actions']) == (8, 8)
        assert np.isfinite(arm.commands).all() and np.shape(arm.commands)[1] == 7


class FakeNode:
    """What outputs need of a node: publishers, that keep what they are given."""

    def __init__(self):
        self.sent, self.topic = [], ''

    def create_lifecycle_publisher(self, kind, topic, profile):
        self.topic = topic
        return SimpleNamespace(publish=self.sent.append)


TWO = VLAParameters(
    output='joint_trajectory',
    arm_joints=('shoulder', 'elbow'),
    joint_lower=(-1.0, -1.0),
    joint_upper=(1.0, 1.0),
    max_joint_acceleration=(2.0,),
    command_timeout=0.25,
)


def joint_command(positions, rates):
    return Command(np.zeros(3), np.zeros(3), positions=np.array(positions), rates=np.array(rates))


def test_hold_is_what_was_sent_last_and_nothing_that_is_long_past(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr('vla_cache_ros.ros.joint_outputs.time.monotonic', lambda: clock[0])
    node = FakeNode()
    output = JointPositions(node, TWO)
    for command, pause, sent in (
        (STOP, 0.0, None),  # nothing was commanded yet: there is nothing to stop
        (joint_command([0.1, 0.2], [0.5, 0.0]), 0.02, [0.1, 0.2]),
        (WAIT, 0.02, [0.1, 0.2]),
        (STOP, 0.24, [0.1, 0.2]),
        (STOP, 0.26, None),  # the arm may have been moved meanwhile
        (WAIT, 0.02, None),
        (joint_command([0.5, 0.2], [0.0, 0.0]), 0.02, [0.5, 0.2]),
    ):
        clock[0] += pause
        node.sent.clear()
        output.send(command, Time(), None)
        assert [list(message.data) for message in node.sent] == ([sent] if sent else [])
    assert node.topic == 'joint_position_commands'


def seconds(duration):
    return duration.sec + duration.nanosec * 1e-9


@pytest.fixture
def messages(monkeypatch):
    """Return the messages of trajectory_msgs, stand-ins where it is not installed."""
    try:
        from trajectory_msgs import msg
    except ImportError:
        module = ModuleType('trajectory_msgs')
        kinds = dict.fromkeys(('JointTrajectory', 'JointTrajectoryPoint'), SimpleNamespace)
        msg = module.msg = SimpleNamespace(**kinds)
        monkeypatch.setitem(sys.modules, 'trajectory_msgs', module)
    return msg


def test_trajectory_leads_one_period_on_and_then_to_rest(messages):
    node = FakeNode()
    output = JointTrajectories(node, TWO)
    output.send(joint_command([0.3, 0.9], [1.0, -0.5]), Time(), None)
    output.send(STOP, Time(), None)
    moving, held = node.sent
    assert node.topic == 'joint_trajectory' and type(moving) is messages.JointTrajectory
    assert list(moving.joint_names) == ['shoulder', 'elbow']
    first, last = moving.points
    assert list(first.positions) == [0.3, 0.9] and list(first.velocities) == [1.0, -0.5]
    assert seconds(first.time_from_start) == pytest.approx(0.02)
    # braked by no more than 2 rad/s^2: from 1 rad/s in 0.5 s
    np.testing.assert_allclose(last.positions, [0.55, 0.775])
    assert list(last.velocities) == [0.0, 0.0]
    assert seconds(last.time_from_start) == pytest.approx(0.52)
    (point,) = held.points
    assert list(point.positions) == [0.3, 0.9] and list(point.velocities) == [0.0, 0.0]


def test_trajectory_comes_to_rest_within_the_limits(messages):
    node = FakeNode()
    JointTrajectories(node, TWO).send(joint_command([0.3, 0.99], [1.0, 0.2]), Time(), None)
    assert list(node.sent[0].points[-1].positions) == [0.55, 1.0]


def test_trajectory_without_its_messages_fails_configure_and_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, 'trajectory_msgs', None)
    with pytest.raises(ValueError, match=r'apt install ros-\$ROS_DISTRO-trajectory-msgs'):
        JointTrajectories(FakeNode(), TWO)


def test_trajectories_arrive_over_the_graph():
    msg = pytest.importorskip('trajectory_msgs.msg')
    policy = joint_policy()
    parameters = PARAMETERS | {'output': 'joint_trajectory', 'max_joint_acceleration': [2.0]}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        heard = []
        graph.outside.arm = dict.fromkeys(JOINTS, 0.5)
        graph.outside.create_subscription(
            msg.JointTrajectory, 'joint_trajectory', heard.append, COMMAND
        )
        assert graph.transition('configure')
        assert graph.transition('activate')
        graph.outside.instruct('go')
        assert graph.wait(lambda: heard and heard[-1].points[0].positions[0] > 0.52)
        assert tuple(heard[0].joint_names) == JOINTS
        assert heard[0].points[0].positions[0] == pytest.approx(0.5, abs=0.005)
        assert all(not np.any(message.points[-1].velocities) for message in heard)
        assert all(len(message.points) <= 2 for message in heard)
