# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand in for the person at a running graph: transitions, parameters, services, topics.

Spins a node of its own while it waits, and meanwhile asks `watch` whether the other processes are
still alive. It knows standard services only, not what a node does with them.
"""

from collections.abc import Callable
import time
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

CONFIGURE = Transition.TRANSITION_CONFIGURE
ACTIVATE = Transition.TRANSITION_ACTIVATE
DEACTIVATE = Transition.TRANSITION_DEACTIVATE
CLEANUP = Transition.TRANSITION_CLEANUP
_NAMES = {CONFIGURE: 'configure', ACTIVATE: 'activate', DEACTIVATE: 'deactivate'}


class GraphError(ChildProcessError):
    """Say which node did not do what it was asked."""


class Operator:
    """
    Hold one node and its executor until closed.

    watch: called while waiting; raises when waiting has become pointless.
    """

    def __init__(self, watch: Callable[[], None]):
        """Join the domain that the environment names."""
        self._watch = watch
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node('vla_cache_operator', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Spin until condition; raises GraphError, naming what was waited for, after timeout s."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._watch()
            if time.monotonic() > deadline:
                raise GraphError(f'waited {timeout:g} s for {what}')
            self._executor.spin_once(timeout_sec=0.05)

    def settle(self, duration: float) -> None:
        """Spin for duration s."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self._watch()
            self._executor.spin_once(timeout_sec=0.05)

    def call(self, kind: type, service: str, request: Any, timeout: float = 10.0) -> Any:
        """Call a service and return its response; raises GraphError if none comes in time."""
        client = self.node.create_client(kind, service)
        try:
            self.wait(client.service_is_ready, f'the service {service}', timeout)
            future = client.call_async(request)
            self.wait(future.done, f'an answer of {service}', timeout)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def transition(self, node: str, transition: int, timeout: float = 10.0) -> None:
        """Take a lifecycle node through one transition; raises GraphError if it fails."""
        request = ChangeState.Request(transition=Transition(id=transition))
        if not self.call(ChangeState, f'{node}/change_state', request, timeout).success:
            raise GraphError(f'{node} failed to {_NAMES.get(transition, "clean up")}')

    def set_parameters(self, node: str, **values: object) -> None:
        """Set parameters of a node; raises ValueError with the node's reason if it refuses."""
        messages: list[ParameterMessage] = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParameters.Request(parameters=messages)
        response = self.call(SetParameters, f'{node}/set_parameters', request)
        reasons = [result.reason for result in response.results if not result.successful]
        if reasons:
            raise ValueError(f'{node}: {"; ".join(reasons)}')
