# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand in for a person who takes the arm over, by a device or with a driver of their own.

Notes what the arm was sent and who had it; judges nothing but the limits of every command.
"""

from collections.abc import Callable
import json
import time
from typing import Any

from command_checks import Bounds
from command_checks import CommandChecks
from geometry_msgs.msg import TwistStamped
import numpy as np
from std_msgs.msg import String
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import ROBOT
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.ros.qos import LATCHED

LOAD_TIMEOUT = 300.0  # s, on a machine that is busy
PATIENCE = 60.0  # s for the arm to change hands, or to move
DEVICE_PERIOD = 0.02  # s between two twists of a device


class TakeoverGraph(Graph):
    """
    Drive the arm now and then; see that the policy drives it in between.

    commands: stamp (ns) and twist [6] of each, in order. modes: what the node said of who has the
    arm. device: the twist [6] that a person's device sends; None while it is unplugged.
    """

    def __init__(self, watch: Callable[[], None], bounds: Bounds, publish_rate: float):
        """Join the graph; watch as for Graph."""
        super().__init__(watch)
        self.checks = CommandChecks(bounds, publish_rate)
        self.commands: list[tuple[int, np.ndarray]] = []
        self.modes: list[dict[str, Any]] = []
        self.device: np.ndarray | None = None
        self._teleop = self.node.create_publisher(TwistStamped, '/teleop_twist_cmds', 1)
        self._service = self.node.create_client(SetBool, f'{POLICY}/take_over')
        self.node.create_timer(DEVICE_PERIOD, self._publish)
        self.hear_commands(self._on_command)
        self.hear(
            String, f'{POLICY}/control_mode', lambda m: self.modes.append(json.loads(m.data)),
            LATCHED,
        )  # fmt: skip

    def bring_to_motion(self, seed: int) -> None:
        """Load the policy, have the robot begin an episode, and wait until the arm moves."""
        self.wait(lambda: bool(self.status), f'{ROBOT}/episode_status', START_TIMEOUT)
        self.start(self.status['instruction'], LOAD_TIMEOUT)
        self.begin_episode(seed)

    def begin_episode(self, seed: int) -> None:
        """Go on with another scene."""
        before = self.status['episode']
        self.ask_for_episode(seed)
        self.wait(lambda: self.status['episode'] > before, 'a new episode', PATIENCE)
        self.instruct(self.status['instruction'])
        self.call(Trigger, f'{POLICY}/reset', Trigger.Request())
        self.wait_for_motion(time.time_ns())

    def over(self) -> bool:
        """Say whether the episode has come to its end."""
        return self.status['success'] or self.status['steps'] >= self.status['max_steps']

    def wait_for_motion(self, since: int) -> int:
        """Wait until the arm was sent motion after an instant (ns); return the stamp of that."""

        def moving() -> int:
            return next((s for s, twist in self.commands if s > since and twist.any()), 0)

        self.wait(lambda: moving() > 0, 'motion', PATIENCE)
        return moving()

    def wait_for(self, who: str) -> int:
        """Wait until the node says who has the arm; return since when (ns)."""
        self.wait(lambda: self.modes[-1]['control'] == who, f'the {who} to have it', PATIENCE)
        return self.modes[-1]['stamp']

    def ask(self, person: bool) -> None:
        """Call the service; raises GraphError where no answer comes."""
        future = self._service.call_async(SetBool.Request(data=person))
        self.wait(future.done, f'{POLICY}/take_over', PATIENCE)

    def between(self, begin: int, end: int) -> list[np.ndarray]:
        """Return the last command before begin (ns), and those up to end (ns)."""
        before = [twist for stamp, twist in self.commands if stamp < begin][-1:]
        return before + [twist for stamp, twist in self.commands if begin <= stamp < end]

    def _publish(self) -> None:
        if self.device is None:
            return
        message = TwistStamped()
        message.header.stamp = self.node.get_clock().now().to_msg()
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y, linear.z, angular.x, angular.y, angular.z = self.device.tolist()
        self._teleop.publish(message)

    def _on_command(self, stamp: int, twist: np.ndarray) -> None:
        self.checks.twist(stamp, twist)
        self.commands.append((stamp, twist))
