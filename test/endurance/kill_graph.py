# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Watch a policy and a robot whose processes are killed and started again.

Notes what the arm was sent and how it moved. Starts and kills nothing; judges by limits that it
is given.
"""

from collections import deque
from collections.abc import Callable
import json
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetState
import numpy as np
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray
from std_msgs.msg import String
from vla_cache_ros.control.inputs import stamp_of
from vla_cache_ros.live.demo_graph import COMMANDS
from vla_cache_ros.live.demo_graph import POLICY
from vla_cache_ros.live.demo_graph import ROBOT
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.live.operator import Operator
from vla_cache_ros.ros.qos import LATCHED

MOVING = 0.01  # m/s or rad/s; an arm slower than this holds still
PATIENCE = 300.0  # s for a process to come to what it was started for
ANSWER_TIMEOUT = 2.0  # s; after it a question is asked anew: who was asked may have been killed
ROUNDING = 1e-6
_WORDS = QoSProfile(depth=1000)


class KillGraph:
    """Take both through their lives as often as needed; a context manager."""

    def __init__(self, watch: Callable[[], None], linear: float, angular: float):
        """Join the graph; linear, angular: largest velocities (m/s, rad/s) that may be sent."""
        self._operator = Operator(watch)
        self._limits = (linear, angular)
        node = self._operator.node
        self.violations: list[str] = []
        # By the senders' stamps: on a busy machine what comes here may have waited.
        self.moving_sent = 0  # ns, the last twist that moves the arm
        self.moved = 0  # ns, when the arm last moved
        self._newest = 0  # ns, the newest stamp of a twist
        self._poses: deque[tuple[int, np.ndarray]] = deque(maxlen=2)
        self._status: tuple[int, dict[str, Any]] = (0, {})
        self._causes: tuple[int, str] = (0, '')
        self._instructions = node.create_publisher(String, '/instruction', LATCHED)
        self._episodes = node.create_publisher(String, f'{ROBOT}/new_episode', LATCHED)
        # Made once: a new client may know a dead node's services, and not yet the next one's.
        self._change = node.create_client(ChangeState, f'{POLICY}/change_state')
        self._ask = node.create_client(GetState, f'{POLICY}/get_state')
        node.create_subscription(TwistStamped, COMMANDS, self._on_twist, _WORDS)
        node.create_subscription(Float64MultiArray, '/gripper/commands', self._on_gripper, _WORDS)
        node.create_subscription(PoseStamped, '/end_effector_pose', self._on_pose, _WORDS)
        node.create_subscription(String, f'{ROBOT}/episode_status', self._on_status, LATCHED)
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, _WORDS)
        self.settle = self._operator.settle

    def __enter__(self) -> 'KillGraph':
        """Do nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph as it is."""
        self._operator.close()

    def bring(self, transition: int, label: str, timeout: float = PATIENCE) -> None:
        """Take the policy through a transition into a state; raises GraphError after timeout s."""
        deadline = time.monotonic() + timeout
        while (found := self.state(deadline)) != label:
            if time.monotonic() > deadline:
                raise GraphError(f'{POLICY}: expected the state {label}, got {found}')
            self.request(transition)

    def request(self, transition: int) -> None:
        """Ask the policy for a transition and do not wait for it."""
        self._change.call_async(ChangeState.Request(transition=Transition(id=transition)))

    def state(self, deadline: float) -> str:
        """Return the label of the policy's state, after whatever it was asked to do before."""
        while time.monotonic() < deadline:
            future = self._ask.call_async(GetState.Request())
            try:
                self._operator.wait(future.done, f'{POLICY}/get_state', ANSWER_TIMEOUT)
            except GraphError:
                continue
            return future.result().current_state.label
        raise GraphError(f'{POLICY}: expected it to say its state, got nothing')

    def begin_episode(self, seed: int) -> None:
        """Have the robot, which may just be starting, begin an episode, and instruct."""
        asked = time.time_ns()
        self._episodes.publish(String(data=str(seed)))
        self._operator.wait(
            lambda: self._status[0] > asked and self._status[1]['seed'] == seed,
            f'episode of seed {seed}',
            PATIENCE,
        )
        self._instructions.publish(String(data=self._status[1]['instruction']))

    def wait_for_motion(self, since: int) -> None:
        """Wait until the arm was sent motion, and moved, after an instant (ns)."""
        self._operator.wait(
            lambda: self.moving_sent > since and self.moved > since, 'motion', PATIENCE
        )

    def wait_for_cause(self, since: int) -> str:
        """Return the causes for which the policy says, after an instant (ns), that it stopped."""
        self._operator.wait(
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

    def _on_twist(self, message: TwistStamped) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        stamp = stamp_of(message)
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

    def _on_status(self, message: String) -> None:
        self._status = (time.time_ns(), json.loads(message.data))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        values = {pair.key: pair.value for pair in message.status[0].values}
        self._causes = (stamp_of(message), values.get('stop causes', ''))
