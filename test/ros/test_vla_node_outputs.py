# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What leaves vla_node besides twists: target poses, gripper goals, who it is; its button."""

import json
import sys
from types import ModuleType
from types import SimpleNamespace

from fake_policy import FakePolicy
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from std_msgs.msg import Bool
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros import outputs
from vla_cache_ros.ros.outputs import GripperAction
from vla_cache_ros.ros.qos import COMMAND
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.qos import NEWEST
from vla_cache_ros.ros.vla_node import VLANode


def test_target_pose_starts_at_the_measured_one_and_moves_as_the_actions_say(policy):
    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS | {'output': 'pose'}) as graph:
        targets = []
        graph.outside.create_subscription(PoseStamped, 'target_pose', targets.append, COMMAND)
        assert graph.transition('configure')
        assert graph.transition('activate')
        graph.outside.instruct('go')
        moved = graph.wait(lambda: targets and targets[-1].pose.position.x > 0.52)
        assert moved, [t.pose.position.x for t in targets[-3:]]
        assert targets[0].header.frame_id == 'base_link'
        assert targets[0].pose.position.x == pytest.approx(0.5)  # where the arm is
        assert targets[0].pose.orientation.x == pytest.approx(1.0)
        x = np.array([target.pose.position.x for target in targets])
        leash = 0.25 * 0.25  # max_linear_velocity x command_timeout
        assert x.max() <= 0.5 + leash + 1e-6
        # the arm of this graph never moves, so that each chunk begins at 0.5 again
        assert graph.wait(lambda: targets[-1].pose.position.x == pytest.approx(0.5, abs=5e-3))
        assert not graph.outside.twists


@pytest.mark.parametrize('profile', [LATCHED, NEWEST], ids=['latched', 'sensor data'])
def test_emergency_stop_is_heard_from_either_kind_of_button_and_latched(graph, profile):
    button = graph.outside.create_publisher(Bool, 'estop', profile)
    graph.healthy_start()
    assert graph.wait(lambda: button.get_subscription_count() > 0)
    button.publish(Bool(data=True))
    assert graph.wait(graph.outside.still)
    assert graph.wait(lambda: graph.told_of('emergency_stop'))
    refused = graph.call(Trigger, 'vla_node/estop_reset')
    assert not refused.success
    assert 'expected a released button' in refused.message
    button.publish(Bool(data=False))
    assert graph.wait(lambda: not graph.node._estop._pressed)
    assert graph.outside.still()  # released is not reset
    assert graph.call(Trigger, 'vla_node/estop_reset').success
    assert graph.wait(graph.outside.moving)


def test_button_pressed_before_configure_keeps_the_arm_still(graph):
    button = graph.outside.create_publisher(Bool, 'estop', LATCHED)
    button.publish(Bool(data=True))
    assert graph.wait(lambda: graph.node._estop.latched)
    assert graph.transition('configure')
    assert graph.transition('activate')
    graph.outside.instruct('go')
    assert graph.wait(graph.outside.still)
    assert not any(np.any(twist[1]) for twist in graph.outside.twists)


def test_run_info_says_which_weights_and_parameters_act(graph):
    told = []
    graph.outside.create_subscription(String, 'vla_node/run_info', told.append, LATCHED)
    assert graph.transition('configure')
    assert graph.wait(lambda: told)
    info = json.loads(told[-1].data)
    assert info['policy'] == FakePolicy.description
    assert info['parameters']['control_frequency'] == 10.0
    assert info['parameters']['image_topics'] == ['image_raw', 'wrist/image_raw']


def test_two_arms_in_one_graph_keep_apart():
    left, right = FakePolicy(), FakePolicy()
    with (
        Graph(VLANode, lambda _: left, parameters=VLA_PARAMETERS) as graph,
        graph.another(VLANode, lambda _: right, namespace='right'),
    ):
        assert graph.transition('configure', 'right/vla_node')
        assert graph.transition('activate', 'right/vla_node')
        graph.healthy_start('go left')
        assert graph.wait(lambda: len(graph.outside.reports) >= 2)
        assert len(right.observations) == 2  # the warm-up: nothing came on its own topics
        ours = graph.outside.get_publishers_info_by_topic('/delta_twist_cmds')
        theirs = graph.outside.get_publishers_info_by_topic('/right/delta_twist_cmds')
        assert [info.node_namespace for info in ours] == ['/']
        assert [info.node_namespace for info in theirs] == ['/right']


def test_gripper_action_without_control_msgs_fails_configure_and_says_what_to_do(policy):
    parameters = VLA_PARAMETERS | {'gripper_output': 'parallel_gripper_command'}
    if 'control_msgs' in sys.modules:
        pytest.skip('control_msgs is installed')
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        assert not graph.transition('configure')
        assert graph.wait(lambda: graph.logged('apt install ros-$ROS_DISTRO-control-msgs'))


class FakeClient:
    """An action client whose server is there when a test says so."""

    def __init__(self, *_):
        self.goals, self.ready = [], True

    def server_is_ready(self):
        return self.ready

    def send_goal_async(self, goal):
        self.goals.append(goal)


def goal_type():
    """Return an action type whose goal has a command with any fields."""
    return SimpleNamespace(Goal=lambda: SimpleNamespace(command=SimpleNamespace()))


@pytest.mark.parametrize('output', ['parallel_gripper_command', 'gripper_command'])
def test_gripper_goal_is_sent_when_the_opening_changes(monkeypatch, output):
    module = ModuleType('control_msgs')
    module.action = SimpleNamespace(ParallelGripperCommand=goal_type(), GripperCommand=goal_type())
    monkeypatch.setitem(sys.modules, 'control_msgs', module)
    monkeypatch.setattr(outputs, 'ActionClient', FakeClient)
    parameters = VLAParameters(
        gripper_output=output, gripper_open_command=0.08, gripper_joint='finger'
    )
    action = GripperAction(None, parameters)
    for opening in (1.0, 0.995, 1.0, 0.5, 0.0):
        action.send(opening)
    commands = [goal.command for goal in action._client.goals]
    positions = [0.08, 0.04, 0.0]
    if output == 'parallel_gripper_command':
        assert [command.name for command in commands] == [['finger']] * 3
        positions = [[position] for position in positions]
    assert [command.position for command in commands] == positions
