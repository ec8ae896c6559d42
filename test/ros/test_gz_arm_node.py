# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The arm's driver for Gazebo, over topics, on the MuJoCo arm: it goes home, then obeys twists."""

import time

from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import TwistStamped
from gz_plant import Plant
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_graph import domain
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.environments.tabletop.scene import FINGER_OPEN
from vla_cache_ros.environments.tabletop.scene import HOME
from vla_cache_ros.ros.drivers.gz_arm_node import GzArmNode

PERIOD = 0.05  # s between two twists
SIMULATED = [Parameter('use_sim_time', value=True)]


class Bench:
    """Plant, driver and a client, spun in one thread: the test's."""

    def __init__(self):
        self._context = Context()
        rclpy.init(context=self._context)
        options = {'context': self._context}
        self.plant = Plant(**options)
        self.driver = GzArmNode(parameter_overrides=SIMULATED, **options)
        self.client = Node('client', parameter_overrides=SIMULATED, **options)
        self._nodes = (self.plant, self.driver, self.client)
        self._executor = SingleThreadedExecutor(context=self._context)
        for node in self._nodes:
            self._executor.add_node(node)
        self.pose = None
        self.client.create_subscription(PoseStamped, 'end_effector_pose', self._on_pose, 1)
        self.twists = self.client.create_publisher(TwistStamped, 'delta_twist_cmds', 1)
        self.grippers = self.client.create_publisher(Float64MultiArray, 'gripper/commands', 1)

    def _on_pose(self, message):
        self.pose = message

    def close(self):
        self.driver.close()
        self.plant.close()
        for node in self._nodes:
            node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, condition, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.01)
        return True

    def spin(self, seconds):
        """Let simulated time pass."""
        end = self.plant.robot.time + seconds
        assert self.wait(lambda: self.plant.robot.time >= end)

    def at_home(self):
        return np.abs(self.plant.robot.data.qpos[:7] - HOME).max() < 0.02

    def position(self):
        return self.plant.robot.tcp()

    def send(self, linear, frame='base_link'):
        message = TwistStamped()
        message.header.frame_id = frame
        message.header.stamp = self.client.get_clock().now().to_msg()
        vector = message.twist.linear
        vector.x, vector.y, vector.z = linear
        self.twists.publish(message)

    def move(self, linear, seconds, frame='base_link'):
        """Hold a velocity for seconds of simulated time, then stop and let the arm settle."""
        for _ in range(round(seconds / PERIOD)):
            self.send(linear, frame)
            self.spin(PERIOD)
        self.send((0.0, 0.0, 0.0), frame)
        self.spin(0.5)


@pytest.fixture(scope='module')
def bench():
    with domain():
        bench = Bench()
        assert bench.wait(bench.at_home)
        bench.spin(0.3)
        yield bench
        bench.close()


def test_arm_goes_home_no_faster_than_its_joints_should(bench):
    for joint, home in zip(('joint2', 'joint4'), (HOME[1], HOME[3]), strict=True):
        steps = np.diff(bench.plant.commands[joint])
        assert np.abs(steps).max() < 0.8 * 0.1  # rad: homing speed, and one late tick
        assert bench.plant.commands[joint][0] == pytest.approx(0, abs=0.1)
        assert bench.plant.commands[joint][-1] == pytest.approx(home, abs=0.02)


@pytest.mark.parametrize('direction', [(1, 0, 0), (0, -1, 0), (0, 0, 1)])
def test_displacement_of_a_twist_comes_out(bench, direction):
    before = bench.position()
    bench.move([0.1 * part for part in direction], 0.4)
    moved = bench.position() - before
    np.testing.assert_allclose(moved, 0.04 * np.array(direction), atol=0.01)
    bench.move([-0.1 * part for part in direction], 0.4)
    np.testing.assert_allclose(bench.position(), before, atol=0.01)


def test_pose_is_that_of_the_simulated_arm(bench):
    assert bench.wait(lambda: bench.pose is not None)
    assert bench.pose.header.frame_id == 'base_link'
    point = bench.pose.pose.position
    np.testing.assert_allclose([point.x, point.y, point.z], bench.position(), atol=0.003)
    xyz, quaternion = bench.plant.robot.end_effector_pose()
    turn = bench.pose.pose.orientation
    found = np.array([turn.x, turn.y, turn.z, turn.w])
    assert abs(found @ quaternion) == pytest.approx(1.0, abs=1e-4)


def test_arm_holds_still_when_twists_stop_coming(bench):
    before = bench.position()
    bench.send((0.2, 0.0, 0.0))  # once: it holds for 0.1 s
    bench.spin(0.8)
    assert (bench.position() - before)[0] == pytest.approx(0.02, abs=0.008)


@pytest.mark.parametrize(('x', 'frame'), [(float('nan'), 'base_link'), (0.2, 'hand')])
def test_twist_that_is_not_finite_or_of_another_frame_moves_nothing(bench, x, frame):
    before = bench.position()
    bench.move((x, 0.0, 0.0), 0.2, frame)
    np.testing.assert_allclose(bench.position(), before, atol=0.003)


def test_gripper_closes_and_opens(bench):
    for command, opened in ((0.0, 0.0), (1.0, FINGER_OPEN)):
        bench.grippers.publish(Float64MultiArray(data=[command]))
        assert bench.wait(
            lambda o=opened: (
                abs(bench.plant.robot.data.qpos[7] - o) < 0.003
                and abs(bench.plant.robot.data.qpos[8] - o) < 0.003
            )
        )


def test_no_target_is_sent_while_joint_states_are_missing(bench):
    bench.plant.mute = True
    bench.spin(0.4)
    sent = len(bench.plant.commands['joint1'])
    bench.spin(0.4)
    assert len(bench.plant.commands['joint1']) == sent
    bench.plant.mute = False
    assert bench.wait(lambda: len(bench.plant.commands['joint1']) > sent)


def test_simulation_that_begins_anew_sends_the_arm_home_first(bench):
    bench.plant.begin(np.zeros(9))
    bench.plant.robot.data.time = 0.0
    assert not bench.at_home()
    bench.spin(0.2)
    bench.send((0.2, 0.0, 0.0))  # too early: the arm is not at home
    assert bench.wait(bench.at_home)
    bench.spin(0.3)
    assert bench.at_home()
