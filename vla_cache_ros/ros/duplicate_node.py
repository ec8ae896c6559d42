# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Notice a second vla_node of the same full name, and others that command the same arm.

Each node signs its diagnostics; a name that is on the graph twice and signed by another is a twin
that lives. The name alone would not do: a process that was killed stays on the graph for as long
as the middleware's lease lasts (20 s), and a replayed bag speaks in the name of whom it recorded.
"""

from collections.abc import Callable
import os
import socket
import time
import uuid

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node
from vla_cache_ros.control.controller import Controller

SILENCE = 2.5  # s without its diagnostics, which come every second, after which a twin is gone
KEY = 'instance'
COMMANDS = ('delta_twist_cmds', 'target_pose', 'joint_position_commands', 'joint_trajectory')


class Twins:
    """Listen to /diagnostics for a node, sign its own, and stop the arm while there is a twin."""

    def __init__(self, node: Node, controller: Callable[[], Controller | None]):
        """Begin to listen; controller returns what commands the arm, None while nothing does."""
        self._node, self._controller = node, controller
        self._instance = f'{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}'
        self._twin, self._heard = '', -SILENCE
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def refuse(self) -> None:
        """Raise ValueError while there is a twin."""
        if message := self._message():
            raise ValueError(f'duplicate_node: {message}')

    def sign(self, message: DiagnosticArray) -> None:
        """Add to the node's own diagnostics who sends them and who else commands the arm."""
        self._tell()
        status = message.status[0]
        status.values.append(KeyValue(key=KEY, value=self._instance))
        own = {publisher.topic_name for publisher in self._node.publishers}
        for topic in own & set(map(self._node.resolve_topic_name, COMMANDS)):
            others = self._node.count_publishers(topic) - 1
            if others > 0:
                status.level = max(status.level, DiagnosticStatus.WARN)
                status.message += (
                    f'; {topic}: expected one publisher, got {others} besides this node; '
                    'the driver follows all of them'
                )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        name = self._node.get_fully_qualified_name()
        for status in message.status:
            if status.name != f'{name}: inference':
                continue
            twin = next((pair.value for pair in status.values if pair.key == KEY), 'unsigned')
            if twin != self._instance and self._named(name) > 1:
                self._twin, self._heard = twin, time.monotonic()
                self._tell()

    def _named(self, name: str) -> int:
        nodes = self._node.get_node_names_and_namespaces()
        return sum(f'{space.rstrip("/")}/{node}' == name for node, space in nodes)

    def _message(self) -> str:
        if time.monotonic() - self._heard > SILENCE:
            return ''
        return (
            f'expected one node {self._node.get_fully_qualified_name()}, got another '
            f'({self._twin}, host:process:id); end one of them or start it in another namespace'
        )

    def _tell(self) -> None:
        controller = self._controller()
        if controller is not None:
            controller.duplicated(self._message())
