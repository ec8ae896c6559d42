# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand between a policy node and its robot: say what is to be done, and note what both say.

Knows the topics that the two of them share. It starts no process and judges nothing.
"""

from collections.abc import Callable
import json
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from vla_cache_ros.control.messages import twist_vector
from vla_cache_ros.control.sensing.inputs import stamp_of
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED

IMAGES = ('/image_raw', '/wrist/image_raw')
COMMANDS = '/delta_twist_cmds'
POLICY = '/vla_node'
REPORTS = f'{POLICY}/step_report'
ROBOT = '/sim_robot_node'
START_TIMEOUT = 60.0  # s for a process to join the graph
LOAD_TIMEOUT = 180.0  # s for the policy to load and warm up
ALL = QoSProfile(depth=1000)  # every message, also of a burst


class Graph(Operator):
    """
    Join the graph of a policy and, where there is one, the simulated robot.

    status: the robot's newest word (episode, seed, task, instruction, success, steps ...).
    reports: of the policy's inferences, in order.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join; watch is called while waiting and raises when a process has died."""
        super().__init__(watch)
        self.status: dict[str, Any] = {}
        self.reports: list[dict[str, Any]] = []
        self._instructions = self.node.create_publisher(String, '/instruction', LATCHED)
        self._episodes = self.node.create_publisher(String, f'{ROBOT}/new_episode', LATCHED)
        self.hear(String, REPORTS, lambda message: self.on_report(json.loads(message.data)))
        self.hear(
            String,
            f'{ROBOT}/episode_status',
            lambda message: self.on_status(json.loads(message.data)),
            LATCHED,
        )

    def hear(
        self, kind: type, topic: str, take: Callable[[Any], None], profile: QoSProfile = ALL
    ) -> None:
        """Have every message of a topic taken."""
        self.node.create_subscription(kind, topic, take, profile)

    def hear_commands(self, take: Callable[[int, np.ndarray], None]) -> None:
        """Have every command to the arm taken: stamp in ns, twist [6] in m/s and rad/s."""
        self.hear(TwistStamped, COMMANDS, lambda m: take(stamp_of(m), twist_vector(m)))

    def hear_diagnostics(self, take: Callable[[int, dict[str, str]], None]) -> None:
        """Have taken what the policy says of itself every second: stamp in ns, values by name."""

        def unpack(message: DiagnosticArray) -> None:
            take(stamp_of(message), {pair.key: pair.value for pair in message.status[0].values})

        self.hear(DiagnosticArray, '/diagnostics', unpack)

    def on_status(self, status: dict[str, Any]) -> None:
        """Take what the robot says of its episode."""
        self.status = status

    def on_report(self, report: dict[str, Any]) -> None:
        """Take what the policy says of one inference."""
        self.reports.append(report)

    def instruct(self, text: str) -> None:
        """Tell the policy what to do."""
        self._instructions.publish(String(data=text))

    def ask_for_episode(self, seed: int) -> None:
        """Have the robot begin an episode; it says in its status when it has."""
        self._episodes.publish(String(data=str(seed)))

    def start(self, instruction: str, timeout: float = LOAD_TIMEOUT) -> None:
        """Load the policy within timeout s, instruct and activate it; wait until it infers."""
        self.transition(POLICY, 'configure', timeout)
        self.instruct(instruction)
        self.transition(POLICY, 'activate')
        self.wait(lambda: bool(self.reports), 'the first inference', START_TIMEOUT)

    def wait_for_subscribers(self, topic: str, count: int) -> None:
        """Wait until a topic has so many subscribers."""
        self.wait(
            lambda: self.node.count_subscribers(topic) >= count,
            f'{count} subscribers of {topic}',
            START_TIMEOUT,
        )
