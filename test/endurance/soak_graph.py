# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run robot and policy on and on, disturb them at random, and check every command on the way.

Knows topics, services and how an episode begins; starts no process and keeps no figures over
time. Each episode ends as in the demo, at success or at the task's limit.
"""

from collections import Counter
from collections.abc import Callable
import json
import time
from typing import Any

from command_checks import Bounds
from command_checks import CommandChecks
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.qos import QoSProfile
from rclpy.time import Time
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from vla_cache_ros.live.demo_graph import COMMANDS
from vla_cache_ros.live.demo_graph import POLICY
from vla_cache_ros.live.demo_graph import REPORTS
from vla_cache_ros.live.demo_graph import ROBOT
from vla_cache_ros.live.demo_graph import START_TIMEOUT
from vla_cache_ros.live.operator import ACTIVATE
from vla_cache_ros.live.operator import CONFIGURE
from vla_cache_ros.live.operator import DEACTIVATE
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED

ODD_INSTRUCTIONS = (
    'подними красный куб',
    '拿起红色方块',
    'pick up the 🟥 cube — s\u2019il vous plaît',
    'ارفع المكعب الأحمر',
    'pick\tup\n\nthe  red\u00a0cube',
    'pu\u0308sh ' * 120,
)
_LOAD_TIMEOUT = 600.0  # s; beside a robot at many times its speed, loading is slow
_PAUSE = 0.2  # s
_SEEDS = 2**31 - 1
_EPISODE_PATIENCE = 5.0  # s after which a request for an episode is made again


class SoakGraph:
    """
    Take the policy to active and keep it and the robot busy; a context manager.

    steps: control periods in which the robot was moved. checks: of every command. events: what
    was done to the graph, by name. reports: latencies (ms) of the inferences since they were
    last taken. diagnostics: the node's own newest counters.
    """

    def __init__(
        self,
        watch: Callable[[], None],
        bounds: Bounds,
        publish_rate: float,
        instructions: list[str],
        rng: np.random.Generator,
    ):
        """Join the graph; watch is called while waiting and raises when a process has died."""
        self._operator = Operator(watch)
        self._rng, self._instructions, self._bounds = rng, instructions, bounds
        self.checks = CommandChecks(bounds, publish_rate)
        self.steps = self.successes = 0
        self.events: Counter[str] = Counter()
        self.reports: list[dict[str, float]] = []
        self.diagnostics: dict[str, str] = {}
        self._status: dict[str, Any] = {}
        self._asked = 0.0  # monotonic s; when the episode that is awaited was asked for
        self._awaited = 0  # number of the episode that has to begin before this one may end
        self._disturbances = {
            'robot_reset': self.begin_episode,
            'node_reset': self._reset,
            'instruction': lambda: self._instruct(str(rng.choice(instructions))),
            'odd_instruction': lambda: self._instruct(str(rng.choice(ODD_INSTRUCTIONS))),
            'pause': self._pause,
            'deactivation': self._deactivate,
            'parameters': self._change_bounds,
        }
        node = self._operator.node
        self._speaker = node.create_publisher(String, '/instruction', LATCHED)
        self._episodes = node.create_publisher(String, f'{ROBOT}/new_episode', LATCHED)
        self._resets = node.create_client(Trigger, f'{POLICY}/reset')
        deep = QoSProfile(depth=1000)
        node.create_subscription(TwistStamped, COMMANDS, self._on_twist, deep)
        node.create_subscription(Float64MultiArray, '/gripper/commands', self._on_gripper, deep)
        node.create_subscription(String, REPORTS, self._on_report, deep)
        node.create_subscription(String, f'{ROBOT}/episode_status', self._on_status, LATCHED)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def __enter__(self) -> 'SoakGraph':
        """Wait for the robot; load the policy, instruct and activate it."""
        self._operator.wait(lambda: bool(self._status), f'{ROBOT}/episode_status', START_TIMEOUT)
        self._operator.transition(POLICY, CONFIGURE, _LOAD_TIMEOUT)
        self._instruct(self._status['instruction'])
        self._operator.transition(POLICY, ACTIVATE)
        self._operator.wait(lambda: bool(self.reports), 'the first inference', START_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph as it is: its processes end by a signal, and stop the arm first."""
        self._operator.close()

    def run(self, seconds: float) -> None:
        """Let episodes follow each other for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._operator.settle(min(0.1, seconds))
            late = time.monotonic() - self._asked > _EPISODE_PATIENCE
            begun = self._status['episode'] >= self._awaited
            done = self._status['success'] or self._status['steps'] >= self._status['max_steps']
            if (begun and done) or (not begun and late):
                self.begin_episode()
                self._reset()

    def disturb(self) -> None:
        """Do one of the disturbances, drawn at random, and count it."""
        name = str(self._rng.choice(list(self._disturbances)))
        self._disturbances[name]()
        self.events[name] += 1

    def begin_episode(self) -> None:
        """Ask the robot for another scene; it is there a moment later."""
        self._awaited, self._asked = self._status['episode'] + 1, time.monotonic()
        self._episodes.publish(String(data=str(self._rng.integers(_SEEDS))))

    def _instruct(self, text: str) -> None:
        self._speaker.publish(String(data=text))

    def _reset(self) -> None:
        self._resets.call_async(Trigger.Request())

    def _pause(self) -> None:
        self._operator.call(SetBool, f'{POLICY}/pause', SetBool.Request(data=True))
        self.checks.still(time.time_ns())
        self._operator.settle(_PAUSE)
        self.checks.still(np.inf)
        self._operator.call(SetBool, f'{POLICY}/pause', SetBool.Request(data=False))

    def _deactivate(self) -> None:
        self._operator.transition(POLICY, DEACTIVATE, START_TIMEOUT)
        self.checks.silent(time.time_ns())
        self._operator.settle(_PAUSE)
        self.checks.silent(np.inf)
        self._operator.transition(POLICY, ACTIVATE, START_TIMEOUT)

    def _change_bounds(self) -> None:
        """Set every bound to 0.25 to 1 times what it was at the start."""
        values = {
            name: float(bound * self._rng.uniform(0.25, 1.0))
            for name, bound in vars(self._bounds).items()
        }
        self.checks.change(**values)
        self._operator.set_parameters(POLICY, **values)
        self.checks.changed(time.time_ns())

    def _on_twist(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        self.checks.twist(Time.from_msg(message.header.stamp).nanoseconds, twist)

    def _on_gripper(self, message: Float64MultiArray) -> None:
        self.checks.gripper(list(message.data))

    def _on_report(self, message: String) -> None:
        report = json.loads(message.data)
        self.reports.append({name: report[name] for name in ('act_ms', 'image_to_command_ms')})

    def _on_status(self, message: String) -> None:
        status, before = json.loads(message.data), self._status
        self._status = status
        if status['error'] and status['error'] != before.get('error'):
            self.checks.violations['refused_by_the_robot'] += 1
        if status['episode'] != before.get('episode'):
            self.steps += status['steps']
            self.events['episodes'] += 1
            self._instruct(status['instruction'])
            return
        self.steps += status['steps'] - before['steps']
        self.successes += status['success'] and not before['success']

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics = {value.key: value.value for value in message.status[0].values}
