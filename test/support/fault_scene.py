# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A moving arm, and every way to spoil what it depends on."""

from rclpy.time import Time
from ros_graph import CAMERAS
from ros_graph import picture
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vla_cache_ros.ros.qos import LATCHED

SIMULATED = {'use_sim_time': True}  # a node that follows the scene's clock


class Scene:
    """A moving arm, and every way to spoil what it depends on."""

    def __init__(self, graph, policy):
        self.outside, self.graph, self.policy = graph.outside, graph, policy
        self.outside.flickers = True  # as every real camera does
        self.second, self.ticking, self.clock = 0.0, False, None
        self.action = policy.action

    def silence(self, topic):
        self.outside.pictures[topic] = None

    def show(self, message):
        self.outside.pictures['image_raw'] = message

    def freeze(self):
        self.outside.frozen = True

    def stick(self):
        """Have the cameras resend their last picture, newly stamped, while the arm moves."""
        self.outside.flickers, self.outside.speed = False, 0.1

    def shorten(self):
        message = picture()
        message.data = message.data[:-5]
        self.show(message)

    def shift(self, seconds, topics=CAMERAS):
        self.outside.offsets = dict.fromkeys(topics, seconds)

    def unstamp(self):
        self.outside.unstamped = True

    def fingers(self, names, values):
        self.outside.names, self.outside.fingers = names, values

    def lose_a_joint(self):
        """Have a joint that moves report NaN, or a finger where only these are reported."""
        if self.outside.arm:
            self.outside.broken = {'joint2': float('nan')}
        else:
            self.fingers(['finger_joint1', 'finger_joint2'], [0.04, float('nan')])

    def press(self):
        self.button = self.outside.create_publisher(Bool, 'estop', LATCHED)
        self.button.publish(Bool(data=True))

    def mend(self):
        """Undo all of it."""
        outside, policy = self.outside, self.policy
        outside.pictures = {topic: picture() for topic in CAMERAS}
        outside.frozen = outside.unstamped = False
        outside.flickers, outside.speed = True, 0.0
        outside.offsets, outside.silent, outside.turn = {}, set(), 1.0
        outside.names, outside.fingers = ['finger_joint1', 'finger_joint2'], [0.04, 0.03]
        outside.broken = {}
        policy.delay, policy.error, policy.action = 0.0, None, self.action
        self.ticking = True

    def release(self):
        self.button.publish(Bool(data=False))
        assert self.graph.wait(lambda: self.graph.call(Trigger, 'vla_node/estop_reset').success)

    def instruct(self, text='go on'):
        self.outside.instruct(text)

    def start_clock(self):
        """Publish /clock at 100 Hz from now on, ever later, while ticking."""
        self.ticking = True
        self.clock = self.outside.create_publisher(Clock, '/clock', 1)
        self.outside.create_timer(0.01, self.tick)

    def tick(self):
        self.second += 0.01 * self.ticking
        self.outside.now = Time(seconds=100 + self.second)
        if self.ticking:
            self.clock.publish(Clock(clock=self.outside.now.to_msg()))

    def stop_clock(self):
        self.ticking = False

    def set_clock_back(self):
        """Have the new episode take a moment to begin, so that the stop before it can be seen."""
        self.policy.delay = 0.1
        self.second -= 50
