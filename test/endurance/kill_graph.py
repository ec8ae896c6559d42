# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Watch a policy and a robot whose processes are killed and started again.

Notes what the arm was sent and how it moved. Starts and kills nothing; judges by limits that it
is given.
"""

from collections import deque
from collections.abc import Callable
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState
import numpy as np
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.live.operator import transition

MOVING = 0.01  # m/s or rad/s; an arm slower than this holds still
PATIENCE = 300.0  # s for a process to come to what it was started for
ANSWER_TIMEOUT = 2.0  # s; after it a question is asked anew: who was asked may have been killed
ROUNDING = 1e-6


class KillGraph(Graph):
    """Take both through their lives as often as needed."""

    def __init__(self, watch: Callable[[], None], linear: float, angular: float):
        """Join the graph; linear, angular: largest velocities (m/s, rad/s) that may be sent."""
        super().__init__(watch)
        self._limits = (linear, angular)
        self.violations: list[str] = []
        # By the senders' stamps: on a busy machine what comes here may have waited.
        self.moving_sent = 0  # ns, the last twist that moves the arm
        self.moved = 0  # ns, when the arm last moved
        self._newest = 0  # ns, the newest stamp of a twist
        self._poses: deque[tuple[int, np.ndarray]] = deque(maxlen=2)
        self._told = 0  # ns, when the newest status came
        self._causes: tuple[int, str] = (0, '')
        # Made once: a new client may know a dead node's services, and not yet the next one's.
        self._change = self.node.create_client(ChangeState, f'{POLICY}/change_state')
        self._ask = self.node.create_client(GetState, f'{POLICY}/get_state')
        self.hear_commands(self._on_twist)
        self.hear_diagnostics(self._on_diagnostics)
        self.hear(Float64MultiArray, '/gripper/commands', self._on_gripper)
        self.hear(PoseStamped, '/end_effector_pose', self._on_pose)

    def bring(self, name: str, label: str) -> None:
        """Take the policy through a transition into a state; raises GraphError after PATIENCE."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.state(deadline)) != label:
            if time.monotonic() > deadline:
                raise GraphError(f'{POLICY}: expected the state {label}, got {found}')
            self.request(name)

    def request(self, name: str) -> None:
        """Ask the policy for a transition and do not wait for it."""
        self._change.call_async(ChangeState.Request(transition=transition(name)))

    def state(self, deadline: float) -> str:
        """Return the label of the policy's state, after whatever it was asked to do before."""
        while time.monotonic() < deadline:
            future = self._ask.call_async(GetState.Request())
            try:
                self.wait(future.done, f'{POLICY}/get_state', ANSWER_TIMEOUT)
            except GraphError:
                continue
            return future.result().current_state.label
        raise GraphError(f'{POLICY}: expected it to say its state, got nothing')

    def begin_episode(self, seed: int) -> None:
        """Have the robot, which may just be starting, begin an episode, and instruct."""
        asked = time.time_ns()
        self.reports.clear()
        self.ask_for_episode(seed)
        self.wait(
            lambda: self._told > asked and self.status['seed'] == seed,
            f'episode of seed {seed}',
            PATIENCE,
        )
        self.instruct(self.status['instruction'])

    def on_status(self, status: dict[str, Any]) -> None:
        """Note when the robot said so."""
        super().on_status(status)
        self._told = time.time_ns()

    def wait_for_motion(self, since: int) -> None:
        """Wait until the arm was sent motion, and moved, after an instant (ns)."""
        self.wait(lambda: self.moving_sent > since and self.moved > since, 'motion', PATIENCE)

    def wait_for_cause(self, since: int) -> str:
        """Return the causes for which the policy says, after an instant (ns), that it stopped."""
        self.wait(
            lambda: self._causes[0] > since and self._causes[1] not in ('', 'none'),
            'a named cause',
            PATIENCE,
        )
        return self._causes[1]

    def wait_for_silence(self) -> None:
        """Wait until no twist has come for half a second: none is under way then."""
        before = -1
        while before != self._newest:
            before = self._newest
            self.settle(0.5)

    def _on_twist(self, stamp: int, twist: np.ndarray) -> None:
        if not np.isfinite(twist).all():
            self.violations.append(f'twist {twist.tolist()} is not finite')
        norms = np.linalg.norm(twist[:3]), np.linalg.norm(twist[3:])
        if any(norm > limit + ROUNDING for norm, limit in zip(norms, self._limits, strict=True)):
            self.violations.append(f'twist {twist.tolist()} is beyond the limits {self._limits}')
        if stamp < self._newest:
            self.violations.append(f'a twist {(self._newest - stamp) * 1e-6:.0f} ms old came late')
        self._newest = max(self._newest, stamp)
        if twist.any():
            self.moving_sent = stamp

    def _on_gripper(self, message: Float64MultiArray) -> None:
        if not all(0.0 <= value <= 1.0 for value in message.data):
            self.violations.append(f'gripper {list(message.data)} is beyond 0 to 1')

    def _on_pose(self, message: PoseStamped) -> None:
        point = message.pose.position
        self._poses.append((stamp_of(message), np.array([point.x, point.y, point.z])))
        (before, start), (now, end) = self._poses[0], self._poses[-1]
        distance, elapsed = np.linalg.norm(end - start), (now - before) * 1e-9
        if 0 < elapsed < 0.1 and MOVING * elapsed < distance < elapsed:  # 1 m/s: a new episode
            self.moved = now

    def _on_diagnostics(self, stamp: int, values: dict[str, str]) -> None:
        self._causes = (stamp, values.get('stop causes', ''))
