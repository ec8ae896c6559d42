# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the commands that a servo driver is sent: twists in one frame, and the gripper.

Checks and keeps them until the driver asks what holds over a span of time. It does not know the
arm.
"""

from collections import deque
import threading

from geometry_msgs.msg import TwistStamped
import numpy as np
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.messages import twist_vector
from vla_cache_ros.control.parameters import DriverParameters
from vla_cache_ros.ros.qos import COMMAND

TICK = 20_000_000  # ns, the servo period
OPEN = 1.0  # of the gripper; 0 is closed


class CommandLog:
    """
    Twists [6] (m/s, rad/s) by stamp (ns); each holds until the next one or the timeout.

    A driver that runs in steps would turn each action's displacement into a whole number of
    steps; one that integrates what was commanded, by the stamps, makes the displacement that was
    meant.
    """

    def __init__(self, timeout: int):
        """Lapse a twist timeout ns after its stamp."""
        self._timeout = timeout
        self._entries: deque[tuple[int, np.ndarray]] = deque()

    def add(self, stamp: int, twist: np.ndarray) -> None:
        """Take a twist; one stamped before the newest is out of order and ignored."""
        if not self._entries or stamp >= self._entries[-1][0]:
            self._entries.append((stamp, twist))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def mean(self, begin: int, end: int) -> np.ndarray:
        """Return the mean twist [6] from begin to end (ns); forget what ended before begin."""
        while len(self._entries) > 1 and self._entries[1][0] <= begin:
            self._entries.popleft()
        total = np.zeros(6)
        entries = list(self._entries)
        nexts = [*(stamp for stamp, _ in entries[1:]), end][: len(entries)]
        for (stamp, twist), following in zip(entries, nexts, strict=True):
            held = min(following, stamp + self._timeout, end) - max(stamp, begin)
            if held > 0:
                total += twist * held
        return total / (end - begin)


class ServoInputs:
    """Subscribe for a node; callbacks and mean() may be on different threads."""

    def __init__(self, node: Node, settings: DriverParameters):
        """Subscribe to delta_twist_cmds and gripper/commands."""
        self._node, self._frame = node, settings.frame_id
        self._lock = threading.Lock()
        self._twists = CommandLog(round(1e9 * settings.command_timeout))
        self._grippers: deque[tuple[int, float]] = deque()
        self._gripper = OPEN
        self.error = ''  # the newest reason for which something was refused
        node.create_subscription(TwistStamped, 'delta_twist_cmds', self._on_twist, COMMAND)
        node.create_subscription(Float64MultiArray, 'gripper/commands', self._on_gripper, COMMAND)

    def clear(self) -> None:
        """Forget every command; the gripper is to be open."""
        with self._lock:
            self._twists.clear()
            self._grippers.clear()
            self._gripper = OPEN

    def mean(self, begin: int, end: int) -> tuple[np.ndarray, float]:
        """Return the mean twist [6] (m/s, rad/s) from begin to end (ns) and the gripper then."""
        with self._lock:
            while self._grippers and self._grippers[0][0] <= end:
                self._gripper = self._grippers.popleft()[1]
            return self._twists.mean(begin, end), self._gripper

    def refuse(self, reason: str) -> None:
        """Say, at most once a second, why something that came is not followed."""
        self.error = reason
        self._node.get_logger().warning(reason, throttle_duration_sec=1.0)

    def _on_twist(self, message: TwistStamped) -> None:
        twist = twist_vector(message)
        if message.header.frame_id != self._frame:
            self.refuse(
                f'delta_twist_cmds: expected frame {self._frame}, got {message.header.frame_id!r}'
            )
        elif not np.isfinite(twist).all():
            self.refuse(f'delta_twist_cmds: expected finite numbers, got {twist.tolist()}')
        else:
            with self._lock:
                self._twists.add(stamp_of(message), twist)

    def _on_gripper(self, message: Float64MultiArray) -> None:
        if len(message.data) != 1 or not np.isfinite(message.data[0]):
            self.refuse(f'gripper/commands: expected one finite number, got {list(message.data)}')
            return
        now = self._node.get_clock().now().nanoseconds
        with self._lock:
            self._grippers.append((now, float(message.data[0])))
