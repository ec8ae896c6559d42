# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A live ROS graph for tests: the node under test, and everything around it on another node."""

from collections import deque
from contextlib import contextmanager
from contextlib import ExitStack
from functools import partial
import gc
import json
import os
import threading
import time

from builtin_interfaces.msg import Time as Stamp
import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState
import numpy as np
from rcl_interfaces.msg import Log
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from vla_cache_ros.live.isolation import isolated_domain
from vla_cache_ros.ros.qos import COMMAND
from vla_cache_ros.ros.qos import LATCHED

CAMERAS = ('image_raw', 'wrist/image_raw')
VLA_PARAMETERS = {
    'image_topics': list(CAMERAS),
    'control_frequency': 10.0,
    'execute_steps': 4,
    'image_timeout': 2.0,  # a busy machine must not look like a silent camera
    'state_timeout': 2.0,
    'dry_run': False,
    'max_linear_acceleration': 1000.0,
    'max_angular_acceleration': 1000.0,
}
PERIOD = 0.04  # s between two images
ALL_LINES = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@contextmanager
def domain():
    """Set a ROS domain of its own in this process's environment for as long as it lasts."""
    before = dict(os.environ)
    with isolated_domain() as variables:
        os.environ.update(variables)
        try:
            yield variables
        finally:
            os.environ.clear()
            os.environ.update(before)


def picture(width=64, height=48, encoding='rgb8', value=120):
    """Return an Image of one brightness."""
    channels = {'rgb8': 3, 'bgr8': 3, 'mono8': 1}.get(encoding, 3)
    message = Image(width=width, height=height, encoding=encoding, step=width * channels)
    message.data = np.full(width * height * channels, value, np.uint8).tobytes()
    return message


class Surroundings(Node):
    """Camera driver, arm driver and operator; tests spoil its attributes."""

    def __init__(self, context):
        """Publish good inputs at 25 Hz and note what comes back."""
        super().__init__('surroundings', context=context)
        self.pictures = {topic: picture() for topic in CAMERAS}
        self.names, self.fingers = ['finger_joint1', 'finger_joint2'], [0.04, 0.03]
        self.arm, self.broken = {}, {}  # rad, positions of joints besides; wrong ones for them
        self.stamp_offset = 0.0  # s
        self.offsets = {}  # s, of single cameras
        self.silent = set()  # of the states
        self.frozen, self.unstamped, self.turn, self.now = False, False, 1.0, None
        self.flickers, self.speed, self.way = False, 0.0, 0.0  # of the pictures; m/s and m, in x
        self.twists, self.grippers, self.reports, self.health = (
            deque(maxlen=5000) for _ in range(4)
        )
        self._images = {t: self.create_publisher(Image, t, 1) for t in CAMERAS}
        self._joints = self.create_publisher(JointState, 'joint_states', 1)
        self._pose = self.create_publisher(PoseStamped, 'end_effector_pose', 1)
        self._instruction = self.create_publisher(String, 'instruction', LATCHED)
        self.log = []
        self.create_subscription(Log, '/rosout', lambda m: self.log.append(m.msg), ALL_LINES)
        self.create_subscription(TwistStamped, 'delta_twist_cmds', self._on_twist, COMMAND)
        self.create_subscription(
            Float64MultiArray, 'gripper/commands', lambda m: self.grippers.append(m.data[0]), 10
        )
        self.create_subscription(
            String, 'vla_node/step_report', lambda m: self.reports.append(json.loads(m.data)), 10
        )
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_health, 10)
        self.create_timer(PERIOD, self._publish)

    def instruct(self, text):
        """Latch an instruction."""
        self._instruction.publish(String(data=text))

    def film(self, *topics):
        """Have other cameras from now on."""
        self._images |= {topic: self.create_publisher(Image, topic, 1) for topic in topics}
        self.pictures = {topic: picture() for topic in topics}  # last: a timer publishes them

    def compress(self, *topics):
        """Send PNG on <topic>/compressed from now on."""
        pixels = np.full((48, 64, 3), 120, np.uint8)
        data = cv2.imencode('.png', pixels)[1].tobytes()
        for topic in topics:
            self.pictures[topic] = CompressedImage(format='png', data=data)
            self._images[topic] = self.create_publisher(CompressedImage, f'{topic}/compressed', 1)

    def moving(self):
        """Say whether the last twist received moves the arm."""
        return bool(self.twists) and np.any(self.twists[-1][1])

    def still(self, seconds=0.15):
        """Say whether only zeros, and at least one, came within the last seconds."""
        recent = [t[1] for t in list(self.twists) if t[2] > time.monotonic() - seconds]
        return len(recent) > 0 and not np.any(recent)

    def _stamp(self, offset=0.0):
        now = self.now or self.get_clock().now()
        shift = rclpy.duration.Duration(nanoseconds=int((self.stamp_offset + offset) * 1e9))
        return (now + shift).to_msg()

    def _publish(self):
        arm = self.arm | self.broken
        joints = JointState(name=[*self.names, *arm], position=[*self.fingers, *arm.values()])
        pose = PoseStamped()
        pose.header.frame_id = 'base_link'
        self.way += self.speed * PERIOD
        pose.pose.position.x, pose.pose.orientation.x = 0.5 + self.way, self.turn
        pose.pose.orientation.w = 0.0
        for topic, publisher, message in (
            ('joint_states', self._joints, joints),
            ('end_effector_pose', self._pose, pose),
        ):
            message.header.stamp = self._stamp()
            if topic not in self.silent:
                publisher.publish(message)
        for topic, message in self.pictures.items():
            if isinstance(message, self._images[topic].msg_type):
                if not self.frozen:
                    message.header.stamp = self._stamp(self.offsets.get(topic, 0.0))
                if self.flickers:
                    message.data[0] ^= 1
                if self.unstamped:
                    message.header.stamp = Stamp()
                self._images[topic].publish(message)

    def _on_twist(self, message):
        v, w = message.twist.linear, message.twist.angular
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        twist = np.array([v.x, v.y, v.z, w.x, w.y, w.z])
        self.twists.append((stamp, twist, time.monotonic(), message.header.frame_id))

    def _on_health(self, message):
        status = message.status[0]
        self.health.append({v.key: v.value for v in status.values} | {'message': status.message})


class Graph:
    """The node under test and its surroundings, each spun by a thread, in a domain apart."""

    def __init__(self, node_type, *arguments, parameters=None):
        """Remember what to start."""
        overrides = [Parameter(name, value=value) for name, value in (parameters or {}).items()]
        self._make = partial(node_type, *arguments, parameter_overrides=overrides)
        self._context = Context()

    def __enter__(self):
        """Start both."""
        with ExitStack() as stack:
            stack.enter_context(domain())
            # Nodes refer to themselves in callbacks: until collected they stay on the graph, where
            # their dead services answer for the next test's.
            stack.callback(gc.collect)
            rclpy.init(context=self._context)
            stack.callback(rclpy.shutdown, context=self._context)
            self.outside = Surroundings(self._context)
            stack.callback(self.outside.destroy_node)
            self.node = self._make(context=self._context)
            stack.callback(self.node.destroy_node)
            stack.callback(self.node.close)
            for node in (self.outside, self.node):
                stack.enter_context(self._spinning(node))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        """End both and leave the domain."""
        with self._stack:
            del self.outside, self.node, self._make

    @contextmanager
    def another(self, node_type, *arguments, namespace='', parameters=None):
        """Yield one more node, with good defaults for a vla_node, in the same graph."""
        values = VLA_PARAMETERS if parameters is None else parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = node_type(
            *arguments, namespace=namespace, parameter_overrides=overrides, context=self._context
        )
        try:
            with self._spinning(node):
                yield node
        finally:
            node.close()
            node.destroy_node()

    @contextmanager
    def _spinning(self, node):
        ended = threading.Event()
        thread = threading.Thread(target=self._spin, args=(node, ended))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _spin(self, node, ended):
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(node)
        while not ended.is_set():
            executor.spin_once(timeout_sec=0.05)
        executor.remove_node(node)

    def wait(self, condition, timeout=20.0):
        """Return whether condition became true within timeout (s)."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.005)
        return False

    def call(self, kind, service, request=None):
        """Call a service and return its response."""
        client = self.outside.create_client(kind, service)
        assert client.wait_for_service(20.0), f'no service {service}'
        future = client.call_async(request or kind.Request())
        assert self.wait(future.done), f'no answer from {service}'
        self.outside.destroy_client(client)
        return future.result()

    def told_of(self, cause):
        """Say whether the newest diagnostics name a cause to stand still."""
        return bool(self.outside.health) and cause in self.outside.health[-1]['stop causes']

    def transition(self, name, node='vla_node'):
        """Take the node, or another, through a transition; return whether it succeeded."""
        number = getattr(Transition, f'TRANSITION_{name.upper()}')
        request = ChangeState.Request(transition=Transition(id=number))
        return self.call(ChangeState, f'{node}/change_state', request).success

    def state(self):
        """Return the label of the node's lifecycle state."""
        return self.call(GetState, 'vla_node/get_state').current_state.label

    def set_parameter(self, name, value):
        """Return the result of setting one parameter."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        return self.call(SetParameters, 'vla_node/set_parameters', request).results[0]

    def logged(self, text):
        """Say whether text was logged since the start."""
        return any(text in line for line in list(self.outside.log))

    def healthy_start(self, instruction='push the cube'):
        """Configure, activate, instruct, and see the arm move."""
        assert self.transition('configure')
        assert self.transition('activate')
        self.outside.instruct(instruction)
        assert self.wait(self.outside.moving)
