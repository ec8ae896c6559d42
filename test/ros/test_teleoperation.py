# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A person takes the arm over on a live ROS graph and gives it back."""

import json
import time

from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool
from vla_cache_ros.ros.qos import LATCHED

SPEED = 0.07  # m/s along y, where the policy never moves
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class Device:
    """A SpaceMouse at 50 Hz: zeros while it is at rest, nothing while it is unplugged."""

    def __init__(self, node, qos):
        self.speed, self.frame = 0.0, ''
        self._node = node
        self._publisher = node.create_publisher(TwistStamped, 'teleop_twist_cmds', qos)
        self.timer = node.create_timer(0.02, self._publish)

    def _publish(self):
        message = TwistStamped()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id = self.frame
        message.twist.linear.y = self.speed
        self._publisher.publish(message)


@pytest.fixture
def modes(graph):
    """Return what came on control_mode, as a recorder that is there from the start hears it."""
    heard = []
    graph.outside.create_subscription(
        String, 'vla_node/control_mode', lambda m: heard.append(json.loads(m.data)), LATCHED
    )
    return heard


def take_over(graph, person):
    request = SetBool.Request(data=person)
    return graph.call(SetBool, 'vla_node/take_over', request)


def persons(graph):
    """Say whether the last twist that the driver received is the person's."""
    return bool(graph.outside.twists) and np.array_equal(
        graph.outside.twists[-1][1], [0, SPEED, 0, 0, 0, 0]
    )


@pytest.mark.parametrize('qos', [10, BEST_EFFORT], ids=['reliable', 'best effort'])
def test_a_device_takes_the_arm_over_and_the_service_gives_it_back(graph, policy, modes, qos):
    device = Device(graph.outside, qos)
    graph.healthy_start()
    assert [mode['control'] for mode in modes] == ['policy']
    device.speed = SPEED
    assert graph.wait(lambda: persons(graph))
    graph.outside.twists.clear()
    graph.outside.grippers.clear()
    seen = len(graph.outside.reports)
    assert graph.wait(lambda: len(graph.outside.reports) >= seen + 3)  # it watches
    assert {tuple(twist) for _, twist, *_ in list(graph.outside.twists)} == {
        (0, SPEED, 0, 0, 0, 0)
    }
    assert not graph.outside.grippers
    watched = graph.outside.reports[-1]
    assert (watched['control'], watched['command_stamp']) == ('person', 0)
    assert graph.wait(lambda: graph.outside.health[-1].get('control') == 'person')
    assert 'a person has the arm' in graph.outside.health[-1]['message']
    device.speed = 0.0
    assert graph.wait(graph.outside.still)
    assert take_over(graph, False).success
    assert graph.wait(graph.outside.moving)
    assert not persons(graph)
    assert 'handed_back' in policy.resets
    assert [mode['control'] for mode in modes] == ['policy', 'person', 'policy']
    assert [mode['by'] for mode in modes] == ['configure', 'teleop_twist_cmds', 'take_over']
    assert modes[1]['stamp'] < modes[2]['stamp']
    assert graph.wait(lambda: graph.outside.reports[-1]['control'] == 'policy')


def test_an_unplugged_device_stops_the_arm_by_name(graph):
    device = Device(graph.outside, 10)
    graph.healthy_start()
    device.speed = SPEED
    assert graph.wait(lambda: persons(graph))
    device.timer.cancel()
    assert graph.wait(graph.outside.still)
    assert graph.wait(lambda: graph.told_of('stale_teleop'))


def test_who_drives_with_a_driver_of_their_own_is_left_alone(graph):
    refused = take_over(graph, True)
    assert not refused.success
    assert 'expected a configured node' in refused.message
    graph.healthy_start()
    answer = take_over(graph, True)
    assert json.loads(answer.message)['control'] == 'person'
    assert graph.wait(lambda: not graph.outside.moving())
    time.sleep(0.2)  # what is under way
    graph.outside.twists.clear()
    seen = len(graph.outside.reports)
    assert graph.wait(lambda: len(graph.outside.reports) >= seen + 3)
    assert not graph.outside.twists
    assert take_over(graph, False).success
    assert graph.wait(graph.outside.moving)


def test_a_twist_in_another_frame_takes_nothing_over_and_says_why(graph):
    device = Device(graph.outside, 10)
    device.frame = 'tool0'
    graph.healthy_start()
    device.speed = SPEED
    assert graph.wait(lambda: graph.logged("expected frame base_link (frame_id) or none, got 't"))
    assert graph.outside.moving() and not persons(graph)
