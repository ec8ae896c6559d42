# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Slow a policy's model and note what the node gives up, as /diagnostics and its commands tell.

Knows the topics; starts no process and judges nothing.
"""

from collections.abc import Callable
import json
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.time import Time
from std_msgs.msg import Float64
from std_msgs.msg import String
from vla_cache_ros.live.demo_graph import POLICY
from vla_cache_ros.live.demo_graph import START_TIMEOUT
from vla_cache_ros.live.drill_graph import DrillGraph
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.ros.qos import LATCHED


class OverrunGraph(DrillGraph):
    """
    Note stages, commands and reports.

    rungs: (ns, stage, reuse asked, control frequency) whenever one of them is another, since the
    start. health: the newest figures of /diagnostics. twists, reports: (ns, [6] m/s and rad/s) of
    each command, and one of each inference, since `run`. fastest: largest norms of any command,
    m/s and rad/s. parameters: of the node.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join the graph; watch as for DrillGraph."""
        super().__init__(watch)
        node = self._operator.node
        self.rungs: list[tuple[int, str, str, str]] = []
        self.health: dict[str, str] = {}
        self.twists: list[tuple[int, np.ndarray]] = []
        self.reports: list[dict[str, Any]] = []
        self.fastest = np.zeros(2)
        self.parameters: dict[str, Any] = {}
        self._slowdown = node.create_publisher(Float64, f'{POLICY}/slowdown', 1)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_health, 100)
        node.create_subscription(String, f'{POLICY}/run_info', self._on_info, LATCHED)

    def slow(self, seconds: float) -> int:
        """Have a dense step take so much longer (s) from now on; return the time (ns)."""
        self._operator.wait(
            lambda: self._slowdown.get_subscription_count() > 0, 'the slowed node', START_TIMEOUT
        )
        self._slowdown.publish(Float64(data=seconds))
        return self._operator.node.get_clock().now().nanoseconds

    def wait_for(self, stage: str, seen: int, timeout: float) -> bool:
        """
        Return whether the node says within timeout (s) that it is at a stage, or was.

        seen: number of rungs that do not count, unless the node still stands on the last.
        """
        try:
            self._operator.wait(
                lambda: stage in self.stages_since(max(seen - 1, 0)), f'stage {stage}', timeout
            )
        except GraphError:
            return False
        return True

    def stages_since(self, seen: int) -> list[str]:
        """Return the stages in order, without those of the first so many rungs."""
        names = [rung[1] for rung in self.rungs[seen:]]
        return [name for at, name in enumerate(names) if at == 0 or name != names[at - 1]]

    def entered(self, stage: str, seen: int) -> int | None:
        """Return when (ns) a stage was first entered after so many rungs, None if never."""
        return next((rung[0] for rung in self.rungs[seen:] if rung[1] == stage), None)

    def run(self, seconds: float) -> None:
        """Forget commands and inferences and note for so long."""
        self.twists.clear()
        self.reports.clear()
        super().run(seconds)

    def _on_twist(self, message: TwistStamped) -> None:
        super()._on_twist(message)
        linear, angular = message.twist.linear, message.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        self.twists.append((self.stamps[-1], twist))
        norms = np.linalg.norm(twist.reshape(2, 3), axis=1)
        self.fastest = np.maximum(self.fastest, norms)

    def _on_report(self, message: String) -> None:
        super()._on_report(message)
        self.reports.append(json.loads(message.data))

    def _on_health(self, message: DiagnosticArray) -> None:
        self.health = {value.key: value.value for value in message.status[0].values}
        rung = tuple(
            self.health.get(key, '') for key in ('degradation', 'reuse asked', 'control frequency')
        )
        if rung[0] and (not self.rungs or rung != self.rungs[-1][1:]):
            self.rungs.append((Time.from_msg(message.header.stamp).nanoseconds, *rung))

    def _on_info(self, message: String) -> None:
        self.parameters = json.loads(message.data)['parameters']
