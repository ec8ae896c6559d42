# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run episodes on the graph of the demo: simulated robot, policy node, recorder.

Knows which topics the three of them share and how an episode begins and ends. It does not start
processes and sums nothing up.
"""

from collections.abc import Callable
from dataclasses import dataclass
import json
import time
from typing import Any

from std_msgs.msg import String
from vla_cache_ros.live.operator import ACTIVATE
from vla_cache_ros.live.operator import CLEANUP
from vla_cache_ros.live.operator import CONFIGURE
from vla_cache_ros.live.operator import DEACTIVATE
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED

IMAGES = ('/image_raw', '/wrist/image_raw')
COMMANDS = '/delta_twist_cmds'
POLICY = '/vla_node'
REPORTS = f'{POLICY}/step_report'
ROBOT = '/sim_robot_node'
START_TIMEOUT = 60.0  # s for a process to join the graph
LOAD_TIMEOUT = 180.0  # s for the policy to load and warm up
STEP_TIMEOUT = 0.5  # s of wall clock per control step, on average; slower is given up


@dataclass(frozen=True)
class GraphEpisode:
    """
    Hold what came back from one episode over ROS.

    status: the robot's last word (seed, task, instruction, success, steps). reports: the policy's
    step reports, in order. begin, end: ns of the ROS clock. seconds: of wall clock from the
    instruction to success or the limit.
    """

    status: dict[str, Any]
    reports: list[dict[str, Any]]
    begin: int
    end: int
    seconds: float


class DemoGraph:
    """Take the policy through its life and the robot through episodes; a context manager."""

    def __init__(self, watch: Callable[[], None]):
        """Join the graph; watch is called while waiting and raises when a process has died."""
        self._operator = Operator(watch)
        node = self._operator.node
        self._status: dict[str, Any] = {}
        self._reports: list[dict[str, Any]] = []
        self._instructions = node.create_publisher(String, '/instruction', LATCHED)
        self._episodes = node.create_publisher(String, f'{ROBOT}/new_episode', LATCHED)
        node.create_subscription(String, f'{ROBOT}/episode_status', self._on_status, LATCHED)
        node.create_subscription(String, REPORTS, self._on_report, 100)

    def __enter__(self) -> 'DemoGraph':
        """Wait until robot, policy and recorder have found one another."""
        self._operator.wait(lambda: bool(self._status), f'{ROBOT}/episode_status', START_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph as it is."""
        self._operator.close()

    def configure(self, **values: object) -> None:
        """Load the policy with these parameters; raises ValueError if the node refuses them."""
        self._operator.set_parameters(POLICY, **values)
        self._operator.transition(POLICY, CONFIGURE, LOAD_TIMEOUT)
        count = self._operator.node.count_subscribers
        cameras = len(values.get('image_topics', IMAGES))
        expected = 2  # policy and recorder; for the reports recorder and this
        for topic in (*IMAGES[:cameras], REPORTS):
            self._operator.wait(
                lambda topic=topic: count(topic) >= expected,
                f'{expected} subscribers of {topic}',
                START_TIMEOUT,
            )

    def cleanup(self) -> None:
        """Let the policy go."""
        self._operator.transition(POLICY, CLEANUP, START_TIMEOUT)

    def run_episode(self, seed: int) -> GraphEpisode:
        """Run one episode from its seed until success or the task's step limit."""
        before = self._status['episode']
        self._episodes.publish(String(data=str(seed)))
        self._operator.wait(
            lambda: self._status['episode'] > before, f'episode of seed {seed}', START_TIMEOUT
        )
        self._reports.clear()
        self._instructions.publish(String(data=self._status['instruction']))
        begin, began = time.time_ns(), time.monotonic()
        self._operator.transition(POLICY, ACTIVATE)
        self._operator.wait(lambda: bool(self._reports), 'the first inference', START_TIMEOUT)
        self._wait_for_end()
        seconds = time.monotonic() - began
        self._operator.transition(POLICY, DEACTIVATE)
        self._operator.settle(0.5)  # the last step report, and a still picture for the video
        return GraphEpisode(
            dict(self._status), list(self._reports), begin, time.time_ns(), seconds
        )

    def _wait_for_end(self) -> None:
        limit = self._status['max_steps']
        try:
            self._operator.wait(
                lambda: self._status['success'] or self._status['steps'] >= limit,
                'the end of the episode',
                limit * STEP_TIMEOUT,
            )
        except GraphError:
            if self._status['error']:
                raise GraphError(f'{ROBOT}: {self._status["error"]}') from None
            # else the machine is too slow for the arm to get anywhere: an episode not done

    def _on_status(self, message: String) -> None:
        self._status = json.loads(message.data)

    def _on_report(self, message: String) -> None:
        self._reports.append(json.loads(message.data))
