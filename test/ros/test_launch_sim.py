# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""sim.launch.py for real, in a namespace: up to an arm that obeys, and down again cleanly."""

from contextlib import ExitStack
import time
import unittest

from lifecycle_msgs.srv import GetState
import pytest
from ros_graph import domain
from std_msgs.msg import String
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED

pytest.importorskip('launch_testing')
pytest.importorskip('launch_ros')
packages = pytest.importorskip('ament_index_python.packages')

from launch import LaunchDescription  # noqa: E402, I100
from launch.actions import IncludeLaunchDescription  # noqa: E402
import launch_testing  # noqa: E402
import launch_testing.actions  # noqa: E402
import launch_testing.asserts  # noqa: E402

try:
    SHARE = packages.get_package_share_directory('vla_cache_ros')
except packages.PackageNotFoundError:
    pytest.skip('vla_cache_ros is not installed by colcon', allow_module_level=True)

NAMESPACE = '/left'
STACK = ExitStack()


@pytest.mark.launch_test
def generate_test_description():
    """Start the launch file on a ROS domain of its own."""
    STACK.enter_context(domain())
    given = {'namespace': NAMESPACE, 'seed': '7', 'task': 'put_red_on_green', 'gate': 'motion'}
    include = IncludeLaunchDescription(
        f'{SHARE}/launch/sim.launch.py', launch_arguments=given.items()
    )
    return LaunchDescription([include, launch_testing.actions.ReadyToTest()]), {}


class TestRunning(unittest.TestCase):
    """The graph is up."""

    def test_policy_becomes_active_and_moves_the_arm_in_its_namespace(self):
        with Operator(lambda: None) as operator:
            node, reports = operator.node, []
            node.create_subscription(
                String, f'{NAMESPACE}/vla_node/step_report', reports.append, 10
            )
            instruct = node.create_publisher(String, f'{NAMESPACE}/instruction', LATCHED)
            request, service = GetState.Request(), f'{NAMESPACE}/vla_node/get_state'
            deadline, state = time.monotonic() + 90, ''
            while state != 'active' and time.monotonic() < deadline:
                state = operator.call(GetState, service, request, 60).current_state.label
                operator.settle(0.2)
            assert state == 'active'
            instruct.publish(String(data='put the red cube on the green plate'))
            operator.wait(lambda: len(reports) > 1, 'two inferences', 30)
            names = {name for name, _ in node.get_topic_names_and_types()}
            own = {'/diagnostics', '/parameter_events', '/rosout'}
            assert {n for n in names if not n.startswith(f'{NAMESPACE}/')} == own


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    """The graph is down."""

    def test_all_processes_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
        STACK.close()
