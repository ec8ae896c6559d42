# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Slow a policy's model and note what the node gives up, as /diagnostics and its commands tell.

Knows the topics; starts no process and judges nothing.
"""

from collections.abc import Callable
import json
from typing import Any

import numpy as np
from std_msgs.msg import Float64
from std_msgs.msg import String
from vla_cache_ros.live.drill import DrillGraph
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.ros.qos import LATCHED


class OverrunGraph(DrillGraph):
    """
    Note stages, besides commands and reports.

    rungs: (ns, stage, reuse asked, control frequency) whenever one of them is another, since the
    start. health: the newest figures of /diagnostics. fastest: largest norms of any command, m/s
    and rad/s. parameters: of the node.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join the graph; watch as for DrillGraph."""
        super().__init__(watch)
        self.rungs: list[tuple[int, str, str, str]] = []
        self.health: dict[str, str] = {}
        self.fastest = np.zeros(2)
        self.parameters: dict[str, Any] = {}
        self._slowdown = self.node.create_publisher(Float64, f'{POLICY}/slowdown', 1)
        self.hear_diagnostics(self._on_health)
        self.hear(String, f'{POLICY}/run_info', self._on_info, LATCHED)

    def slow(self, seconds: float) -> int:
        """Have a dense step take so much longer (s) from now on; return the time (ns)."""
        self.wait(
            lambda: self._slowdown.get_subscription_count() > 0, 'the slowed node', START_TIMEOUT
        )
        self._slowdown.publish(Float64(data=seconds))
        return self.node.get_clock().now().nanoseconds

    def wait_for(self, stage: str, seen: int, timeout: float) -> bool:
        """
        Return whether the node says within timeout (s) that it is at a stage, or was.

        seen: number of rungs that do not count, unless the node still stands on the last.
        """
        try:
            self.wait(
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

    def on_twist(self, stamp: int, twist: np.ndarray) -> None:
        """Note a command and whether it is the fastest."""
        super().on_twist(stamp, twist)
        norms = np.linalg.norm(twist.reshape(2, 3), axis=1)
        self.fastest = np.maximum(self.fastest, norms)

    def _on_health(self, stamp: int, values: dict[str, str]) -> None:
        self.health = values
        rung = tuple(
            values.get(key, '') for key in ('degradation', 'reuse asked', 'control frequency')
        )
        if rung[0] and (not self.rungs or rung != self.rungs[-1][1:]):
            self.rungs.append((stamp, *rung))

    def _on_info(self, message: String) -> None:
        self.parameters = json.loads(message.data)['parameters']
