# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run robot and policy on and on, disturb them at random, and check every command on the way.

Knows topics, services and how an episode begins; starts no process and keeps no figures over
time. Each episode ends as in the demo, at success or at the task's limit.
"""

from collections import Counter
from collections.abc import Callable
import time
from typing import Any
from typing import Self

from command_checks import Bounds
from command_checks import CommandChecks
import numpy as np
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import ROBOT
from vla_cache_ros.live.graph import START_TIMEOUT

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


class SoakGraph(Graph):
    """
    Take the policy to active and keep it and the robot busy.

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
        super().__init__(watch)
        self._rng, self._bounds = rng, bounds
        self.checks = CommandChecks(bounds, publish_rate)
        self.steps = self.successes = 0
        self.events: Counter[str] = Counter()
        self.diagnostics: dict[str, str] = {}
        self._asked = 0.0  # monotonic s; when the episode that is awaited was asked for
        self._awaited = 0  # number of the episode that has to begin before this one may end
        self._disturbances = {
            'robot_reset': self.begin_episode,
            'node_reset': self._reset,
            'instruction': lambda: self.instruct(str(rng.choice(instructions))),
            'odd_instruction': lambda: self.instruct(str(rng.choice(ODD_INSTRUCTIONS))),
            'pause': self._pause,
            'deactivation': self._deactivate,
            'parameters': self._change_bounds,
        }
        self._resets = self.node.create_client(Trigger, f'{POLICY}/reset')
        self.hear_commands(self.checks.twist)
        self.hear_diagnostics(self._on_diagnostics)
        self.hear(
            Float64MultiArray, '/gripper/commands', lambda m: self.checks.gripper(list(m.data))
        )

    def __enter__(self) -> Self:
        """Wait for the robot; load the policy, instruct and activate it."""
        self.wait(lambda: bool(self.status), f'{ROBOT}/episode_status', START_TIMEOUT)
        self.start(self.status['instruction'], _LOAD_TIMEOUT)
        return self

    def run(self, seconds: float) -> None:
        """Let episodes follow each other for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.settle(min(0.1, seconds))
            late = time.monotonic() - self._asked > _EPISODE_PATIENCE
            begun = self.status['episode'] >= self._awaited
            done = self.status['success'] or self.status['steps'] >= self.status['max_steps']
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
        self._awaited, self._asked = self.status['episode'] + 1, time.monotonic()
        self.ask_for_episode(int(self._rng.integers(_SEEDS)))

    def _reset(self) -> None:
        self._resets.call_async(Trigger.Request())

    def _pause(self) -> None:
        self.call(SetBool, f'{POLICY}/pause', SetBool.Request(data=True))
        self.checks.still(time.time_ns())
        self.settle(_PAUSE)
        self.checks.still(np.inf)
        self.call(SetBool, f'{POLICY}/pause', SetBool.Request(data=False))

    def _deactivate(self) -> None:
        self.transition(POLICY, 'deactivate', START_TIMEOUT)
        self.checks.silent(time.time_ns())
        self.settle(_PAUSE)
        self.checks.silent(np.inf)
        self.transition(POLICY, 'activate', START_TIMEOUT)

    def _change_bounds(self) -> None:
        """Set every bound to 0.25 to 1 times what it was at the start."""
        values = {
            name: float(bound * self._rng.uniform(0.25, 1.0))
            for name, bound in vars(self._bounds).items()
        }
        self.checks.change(**values)
        self.set_parameters(POLICY, **values)
        self.checks.changed(time.time_ns())

    def on_status(self, status: dict[str, Any]) -> None:
        """Count steps, successes and what was refused; instruct when an episode begins."""
        before = self.status
        super().on_status(status)
        if status['error'] and status['error'] != before.get('error'):
            self.checks.violations['refused_by_the_robot'] += 1
        if status['episode'] != before.get('episode'):
            self.steps += status['steps']
            self.events['episodes'] += 1
            self.instruct(status['instruction'])
            return
        self.steps += status['steps'] - before['steps']
        self.successes += status['success'] and not before['success']

    def _on_diagnostics(self, _: int, values: dict[str, str]) -> None:
        self.diagnostics = values
