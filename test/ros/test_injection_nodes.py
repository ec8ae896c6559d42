# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two nodes of one name, and a node whose executor is kept from its work: the arm stands still."""

from collections import Counter
import ctypes
import threading
import time

from fake_policy import FakePolicy
from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from std_msgs.msg import String
from vla_cache_ros.ros.vla_node import VLANode

MOVING = VLA_PARAMETERS | {'execution': 'asynchronous'}  # without a pause
HELD = 0.7  # s for which the executor is held up; command_timeout is 0.25


@pytest.fixture
def moving(policy):
    """Yield a graph whose arm moves."""
    with Graph(VLANode, lambda _: policy, parameters=MOVING) as graph:
        graph.healthy_start()
        assert graph.wait(lambda: len(graph.outside.reports) >= 2)
        yield graph


def told(graph, cause):
    """Say whether the newest diagnostics have counted a stop of this cause."""
    return bool(graph.outside.health) and f'stops {cause}' in graph.outside.health[-1]


def causes(graph):
    """Count in how many diagnostics each cause stood, whoever sent them."""
    texts = [health.get('stop causes', '') for health in list(graph.outside.health)]
    return Counter(cause for text in texts for cause in text.split(', '))


def test_second_node_of_the_same_name_stops_the_arm_until_it_is_gone(moving):
    with moving.another(VLANode, lambda _: FakePolicy(), namespace='') as twin:
        assert moving.wait(lambda: causes(moving)['duplicate_node'])
        assert moving.wait(lambda: moving.logged('expected one node /vla_node, got another'))
        assert moving.wait(moving.outside.still, 0.5)
        assert twin.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert moving.wait(lambda: twin._twins._message())
        assert twin.trigger_activate() == TransitionCallbackReturn.FAILURE
        assert not twin._controller.active
    assert moving.wait(moving.outside.moving)


def test_name_that_a_dead_node_left_on_the_graph_stops_nothing(moving):
    dead = VLANode(lambda _: FakePolicy(), context=moving.outside.context)  # spun by nobody
    named = moving.node.get_node_names_and_namespaces
    assert moving.wait(lambda: named().count(('vla_node', '/')) == 2)
    reports = len(moving.outside.reports)
    assert moving.wait(lambda: len(moving.outside.reports) >= reports + 4)
    assert not told(moving, 'duplicate_node')
    dead.close()
    dead.destroy_node()


def test_second_publisher_of_commands_is_a_warning(moving):
    other = moving.outside.create_publisher(TwistStamped, 'delta_twist_cmds', 1)
    line = '/delta_twist_cmds: expected one publisher, got 1 besides'
    health = moving.outside.health
    assert moving.wait(lambda: bool(health) and line in health[-1]['message'])
    assert moving.wait(moving.outside.moving)
    moving.outside.destroy_publisher(other)
    assert moving.wait(lambda: line not in health[-1]['message'])


def keep_the_interpreter(graph):
    """Hold the interpreter's lock, as a library may; return when that began and ended (s)."""
    begin = time.time()
    ctypes.PyDLL(None).usleep(round(1e6 * HELD))
    return begin, time.time()


def keep_the_executor(graph):
    """Have one callback take long; return when it began and ended (s)."""
    span = []

    def callback():
        span.append(time.time())
        time.sleep(HELD)
        span.append(time.time())

    graph.node.executor.create_task(callback)
    assert graph.wait(lambda: len(span) == 2)
    return span


@pytest.mark.parametrize('hold', [keep_the_interpreter, keep_the_executor])
def test_command_is_dropped_rather_than_held_on_to_when_the_executor_is_kept_busy(moving, hold):
    begin, end = hold(moving)
    sent = moving.outside.twists
    assert moving.wait(lambda: sent[-1][0] > end)
    sent = list(sent)
    assert not any(begin + 0.05 < stamp < end - 0.01 for stamp, *_ in sent)
    first = next(twist for twist in sent if twist[0] > end - 0.01)
    assert not np.any(first[1])  # not what was held before
    assert moving.wait(lambda: told(moving, 'command_timeout'))
    assert moving.wait(moving.outside.moving)


def test_flood_of_messages_makes_no_command_old(moving):
    publisher = moving.outside.create_publisher(String, 'instruction', 10)
    ended, count, begin = threading.Event(), 0, time.time()

    def flood():
        nonlocal count
        while not ended.is_set():
            publisher.publish(String(data='push the cube' + ' ' * (count % 2)))
            count += 1

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    ended.set()
    for thread in threads:
        thread.join()
    assert count > 1000
    assert moving.wait(moving.outside.moving)
    during = [twist for twist in moving.outside.twists if begin < twist[0] < begin + 1.5]
    received = time.time() - time.monotonic()
    moved = [came + received - stamp for stamp, twist, came, _ in during if np.any(twist)]
    gaps = np.diff([stamp for stamp, *_ in during])
    # either the command is renewed in time, or the first one after the gap is no motion
    assert all(
        gap < 0.3 or not np.any(after[1]) for gap, after in zip(gaps, during[1:], strict=True)
    )
    assert max(moved, default=0.0) < 0.5
