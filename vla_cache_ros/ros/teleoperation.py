# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let a person take the arm over by a twist or by a service, and say on a topic who has it.

Knows topics and services; what a take-over does to the arm is the controller's.
"""

from collections.abc import Callable

from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import SetBool
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.messages import twist_vector
from vla_cache_ros.control.takeover import SERVICE
from vla_cache_ros.control.takeover import TOPIC
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.qos import NEWEST


class Teleoperation:
    """Listen to `teleop_twist_cmds`, serve `~/take_over`, publish `~/control_mode`."""

    def __init__(self, node: Node, controller: Callable[[], Controller | None]):
        """Begin to listen; controller returns what commands the arm, None while nothing does."""
        self._controller, self._told = controller, ''
        self._modes = node.create_publisher(String, '~/control_mode', LATCHED)
        node.create_subscription(TwistStamped, TOPIC, self._on_twist, NEWEST)
        node.create_service(SetBool, f'~/{SERVICE}', self._on_take_over)

    def tell(self) -> None:
        """Publish who has the arm, if that is news."""
        controller = self._controller()
        mode = controller.takeover.mode() if controller else self._told
        if mode != self._told:
            self._told = mode
            self._modes.publish(String(data=mode))

    def _on_twist(self, message: TwistStamped) -> None:
        controller = self._controller()
        if controller is not None:
            frame = message.header.frame_id
            controller.takeover.hear(twist_vector(message), stamp_of(message), frame)
            self.tell()

    def _on_take_over(
        self, request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        controller = self._controller()
        response.success = controller is not None
        if controller is None:
            response.message = 'expected a configured node, got an unconfigured one'
            return response
        controller.takeover.give(request.data, SERVICE)
        self.tell()
        response.message = controller.takeover.mode()
        return response
