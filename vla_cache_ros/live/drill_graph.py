# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Watch a policy that acts on a stand-in for cameras: its commands and its inferences.

Knows the topics; starts no process and judges nothing.
"""

from collections.abc import Callable
import json
import time

from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile
from rclpy.time import Time
from std_msgs.msg import String
from vla_cache_ros.live.demo_graph import COMMANDS
from vla_cache_ros.live.demo_graph import IMAGES
from vla_cache_ros.live.demo_graph import LOAD_TIMEOUT
from vla_cache_ros.live.demo_graph import POLICY
from vla_cache_ros.live.demo_graph import REPORTS
from vla_cache_ros.live.demo_graph import START_TIMEOUT
from vla_cache_ros.live.operator import ACTIVATE
from vla_cache_ros.live.operator import CONFIGURE
from vla_cache_ros.live.operator import DEACTIVATE
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED


class DrillGraph:
    """
    Take the policy to active and note what it sends; a context manager.

    stamps, received: ns of each command. inferences: ms from the last image received to the
    first command, of each inference.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join the graph; watch is called while waiting and raises when a process has died."""
        self._operator = Operator(watch)
        node = self._operator.node
        self.stamps: list[int] = []
        self.received: list[int] = []
        self.inferences: list[float] = []
        self._instructions = node.create_publisher(String, '/instruction', LATCHED)
        node.create_subscription(TwistStamped, COMMANDS, self._on_twist, QoSProfile(depth=1000))
        node.create_subscription(String, REPORTS, self._on_report, 1000)

    def __enter__(self) -> 'DrillGraph':
        """Wait for the cameras; load the policy, instruct and activate it."""
        count = self._operator.node.count_publishers
        for topic in IMAGES:
            self._operator.wait(lambda topic=topic: count(topic) > 0, topic, START_TIMEOUT)
        self._operator.transition(POLICY, CONFIGURE, LOAD_TIMEOUT)
        self._instructions.publish(String(data='pick up the red cube'))
        self._operator.transition(POLICY, ACTIVATE)
        self._operator.wait(lambda: bool(self.inferences), 'the first inference', START_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        """Deactivate the policy and leave."""
        try:
            self._operator.transition(POLICY, DEACTIVATE)
        finally:
            self._operator.close()

    def run(self, seconds: float) -> None:
        """Forget what was noted and note for so long."""
        for noted in (self.stamps, self.received, self.inferences):
            noted.clear()
        self._operator.settle(seconds)

    def wait_for_subscribers(self, topic: str, count: int) -> None:
        """Wait until a topic has so many subscribers."""
        self._operator.wait(
            lambda: self._operator.node.count_subscribers(topic) >= count,
            f'{count} subscribers of {topic}',
            START_TIMEOUT,
        )

    def _on_twist(self, message: TwistStamped) -> None:
        self.received.append(time.time_ns())
        self.stamps.append(Time.from_msg(message.header.stamp).nanoseconds)

    def _on_report(self, message: String) -> None:
        self.inferences.append(json.loads(message.data)['image_to_command_ms'])
