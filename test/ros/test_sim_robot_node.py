# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The simulated robot on a live graph: it sees, obeys twists and begins episodes."""

import json
import time

from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros_graph import domain
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.ros.drivers.sim_robot_node import SimRobotNode
from vla_cache_ros.ros.qos import LATCHED

TOPICS = {
    'image_raw': Image,
    'wrist/image_raw': Image,
    'joint_states': JointState,
    'end_effector_pose': PoseStamped,
}


class Bench:
    """The robot's node and a client, spun in one thread: the test's."""

    def __init__(self, **parameters):
        self._context = Context()
        rclpy.init(context=self._context)
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.robot = SimRobotNode(context=self._context, parameter_overrides=overrides)
        self.client = Node('client', context=self._context)
        self.executor = SingleThreadedExecutor(context=self._context)
        self.executor.add_node(self.robot)
        self.executor.add_node(self.client)
        self.newest, self.status = {}, {}
        for topic, kind in TOPICS.items():
            self.client.create_subscription(
                kind, topic, lambda m, t=topic: self.newest.__setitem__(t, m), 1
            )
        self.client.create_subscription(
            String,
            'sim_robot_node/episode_status',
            lambda m: self.status.update(json.loads(m.data)),
            LATCHED,
        )
        self.twists = self.client.create_publisher(TwistStamped, 'delta_twist_cmds', 1)
        self.grippers = self.client.create_publisher(Float64MultiArray, 'gripper/commands', 1)
        self.episodes = self.client.create_publisher(String, 'sim_robot_node/new_episode', LATCHED)

    def close(self):
        self.robot.close()
        self.robot.destroy_node()
        self.client.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, condition, timeout=30.0):
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.executor.spin_once(timeout_sec=0.01)
        return True

    def spin(self, seconds):
        self.wait(lambda: False, seconds)

    def begin(self, text):
        before = self.status.get('episode', 0)
        self.episodes.publish(String(data=text))
        assert self.wait(lambda: self.status.get('episode', 0) > before)
        self.newest.clear()
        assert self.wait(lambda: len(self.newest) == len(TOPICS))

    def position(self):
        point = self.newest['end_effector_pose'].pose.position
        return np.array([point.x, point.y, point.z])

    def move(self, x, seconds, frame='base_link'):
        """Send a speed x along x for seconds, stamped ahead of time; wait until it is done."""
        begin = self.client.get_clock().now().nanoseconds + 300_000_000
        for offset in np.arange(0, seconds + 1e-9, 0.05):
            message = TwistStamped()
            message.header.frame_id = frame
            time_stamp = rclpy.time.Time(nanoseconds=begin + round(offset * 1e9))
            message.header.stamp = time_stamp.to_msg()
            message.twist.linear.x = x if offset < seconds - 1e-9 else 0.0
            self.twists.publish(message)
            self.spin(0.01)
        end = begin + round(1e9 * (seconds + 0.2))
        assert self.wait(lambda: self.newest_stamp() > end)

    def newest_stamp(self):
        return rclpy.time.Time.from_msg(self.newest['end_effector_pose'].header.stamp).nanoseconds


@pytest.fixture(scope='module')
def bench():
    with domain():
        bench = Bench()
        assert bench.wait(lambda: bench.status)
        yield bench
        bench.close()


def test_episode_shows_the_seeds_scene_in_both_cameras(bench):
    bench.begin('7 put_red_on_green')
    env = Tabletop()
    env.reset_state(7, 'put_red_on_green')
    assert bench.status['seed'] == 7
    assert bench.status['instruction'] == env.task.instruction
    assert bench.status['max_steps'] == env.max_steps
    assert not bench.status['success']
    for topic, expected in zip(
        ('image_raw', 'wrist/image_raw'), env.observe().images, strict=True
    ):
        message = bench.newest[topic]
        assert message.header.frame_id.endswith('_optical_frame')
        difference = np.abs(to_rgb(message, topic).astype(int) - expected)
        assert np.mean(difference) < 1.0  # the physics may have settled by a pixel
    env.close()


def test_twist_moves_the_arm_by_speed_times_time(bench):
    bench.begin('3')
    before, steps = bench.position(), bench.status['steps']
    bench.move(0.1, 0.4)
    moved = bench.position() - before
    assert moved[0] == pytest.approx(0.04, abs=0.008)
    assert np.abs(moved[1:]).max() < 0.01
    bench.spin(0.2)
    assert 3 <= bench.status['steps'] - steps <= 5


def test_arm_of_a_fast_robot_ends_where_the_same_twist_of_less_time_would_lead_it(bench):
    places = []
    with domain():
        fast = Bench(speed=4.0)
        try:
            assert fast.wait(lambda: fast.status)
            for one, seconds in ((bench, 0.4), (fast, 0.1)):
                one.begin('3')
                begin = one.status['time']
                one.move(0.1, seconds)
                assert one.status['time'] - begin > 0.4
                places.append(one.position())
                assert one.wait(lambda one=one: one.status['steps'] in (3, 4, 5))
        finally:
            fast.close()
    assert places[1] == pytest.approx(places[0], abs=0.01)


def test_arm_holds_still_when_twists_stop_coming(bench):
    bench.begin('3')
    before = bench.position()
    message = TwistStamped()
    message.header.frame_id = 'base_link'
    message.header.stamp = bench.client.get_clock().now().to_msg()
    message.twist.linear.x = 0.2
    bench.twists.publish(message)  # once: it holds for 0.1 s
    bench.spin(0.8)
    assert (bench.position() - before)[0] == pytest.approx(0.02, abs=0.008)


@pytest.mark.parametrize(('x', 'frame'), [(float('nan'), 'base_link'), (0.2, 'hand')])
def test_twist_that_is_not_finite_or_of_another_frame_is_refused(bench, x, frame):
    bench.begin('3')
    before = bench.position()
    bench.move(x, 0.2, frame)
    np.testing.assert_allclose(bench.position(), before, atol=0.003)
    assert 'delta_twist_cmds: expected' in bench.status['error']


def test_gripper_closes_and_opens(bench):
    bench.begin('3')
    for command, opened in ((0.0, False), (1.0, True)):
        bench.grippers.publish(Float64MultiArray(data=[command]))
        assert bench.wait(lambda o=opened: (bench.newest['joint_states'].position[-1] > 0.03) == o)


@pytest.mark.parametrize('text', ['', 'seven', '1 2 3', '1 fly_away'])
def test_request_that_names_no_episode_is_refused_and_the_robot_goes_on(bench, text):
    bench.begin('5')
    bench.episodes.publish(String(data=text))
    assert bench.wait(lambda: bench.status['error'])
    assert 'expected' in bench.status['error']
    assert bench.status['seed'] == 5
