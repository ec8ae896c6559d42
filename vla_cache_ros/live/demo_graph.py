# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run episodes on the graph of the demo: simulated robot, policy node, recorder.

Knows how an episode begins and ends. It does not start processes and sums nothing up.
"""

from dataclasses import dataclass
import time
from typing import Any
from typing import Self

from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import LOAD_TIMEOUT
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import REPORTS
from vla_cache_ros.live.graph import ROBOT
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.live.operator import GraphError

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


class DemoGraph(Graph):
    """Take the policy through its life and the robot through episodes."""

    def __enter__(self) -> Self:
        """Wait for the robot."""
        self.wait(lambda: bool(self.status), f'{ROBOT}/episode_status', START_TIMEOUT)
        return self

    def configure(self, **values: object) -> None:
        """
        Load the policy with these parameters and wait until all have found one another.

        Raises ValueError if the node refuses them.
        """
        self.set_parameters(POLICY, **values)
        self.transition(POLICY, 'configure', LOAD_TIMEOUT)
        cameras = len(values.get('image_topics', IMAGES))
        for topic in (*IMAGES[:cameras], REPORTS):
            self.wait_for_subscribers(topic, 2)  # policy and recorder; recorder and this

    def cleanup(self) -> None:
        """Let the policy go."""
        self.transition(POLICY, 'cleanup', START_TIMEOUT)

    def run_episode(self, seed: int) -> GraphEpisode:
        """Run one episode from its seed until success or the task's step limit."""
        before = self.status['episode']
        self.ask_for_episode(seed)
        self.wait(
            lambda: self.status['episode'] > before, f'episode of seed {seed}', START_TIMEOUT
        )
        self.reports.clear()
        self.instruct(self.status['instruction'])
        begin, began = time.time_ns(), time.monotonic()
        self.transition(POLICY, 'activate')
        self.wait(lambda: bool(self.reports), 'the first inference', START_TIMEOUT)
        self._wait_for_end()
        seconds = time.monotonic() - began
        self.transition(POLICY, 'deactivate')
        self.settle(0.5)  # the last step report, and a still picture for the video
        return GraphEpisode(dict(self.status), list(self.reports), begin, time.time_ns(), seconds)

    def _wait_for_end(self) -> None:
        limit = self.status['max_steps']
        try:
            self.wait(
                lambda: self.status['success'] or self.status['steps'] >= limit,
                'the end of the episode',
                limit * STEP_TIMEOUT,
            )
        except GraphError:
            if self.status['error']:
                raise GraphError(f'{ROBOT}: {self.status["error"]}') from None
            # else the machine is too slow for the arm to get anywhere: an episode not done
