# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Latch an emergency stop: pressed by a message, released by a service, never by itself.

Does not know how the arm is stopped.
"""

from collections.abc import Callable

from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.qos import NEWEST


class EmergencyStop:
    """Listen to `estop` and serve `~/estop_reset`, in every state of the node."""

    def __init__(self, node: Node, changed: Callable[[bool], None]):
        """Start released; changed is told whether the arm must stand still."""
        self.latched = False
        self._pressed = False
        self._changed = changed
        # Two, for a button that latches its state and one that does not: each hears only its own
        # kind, and a stop must be heard from either.
        for profile in (LATCHED, NEWEST):
            node.create_subscription(Bool, 'estop', self._on_button, profile)
        node.create_service(Trigger, '~/estop_reset', self._on_reset)

    def _on_button(self, message: Bool) -> None:
        self._pressed = message.data
        if message.data:
            self.latched = True
            self._changed(True)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = not self._pressed
        if self._pressed:
            response.message = 'expected a released button, the last message on estop was true'
        else:
            self.latched = False
            self._changed(False)
        return response
