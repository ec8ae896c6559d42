# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stand in for the person at a running graph: transitions, parameters, services.

Spins a node of its own while it waits, and meanwhile asks `watch` whether the other processes are
still alive. It knows standard services only, not what a node does with them.
"""

from collections.abc import Callable
import time
from typing import Any
from typing import Self

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter


class GraphError(ChildProcessError):
    """Say which node did not do what it was asked."""


class Operator:
    """Hold one node and its executor; a context manager that leaves the graph as it is."""

    def __init__(self, watch: Callable[[], None]):
        """
        Join the domain that the environment names.

        watch: called while waiting; raises when waiting has become pointless.
        """
        self._watch = watch
        self._context = Context()
        rclpy.init(context=self._context)
        self.node = Node('vla_cache_operator', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def __enter__(self) -> Self:
        """Return the operator."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph."""
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Spin until condition; raises GraphError, naming what was waited for, after timeout s."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise GraphError(f'waited {timeout:g} s for {what}')
            self._spin()

    def settle(self, duration: float) -> None:
        """Spin for duration s."""
        end = time.monotonic() + duration
        while time.monotonic() < end:
            self._spin()

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

    def transition(self, node: str, name: str, timeout: float = 10.0) -> None:
        """Take a lifecycle node through one transition; raises GraphError if it fails."""
        request = ChangeState.Request(transition=transition(name))
        if not self.call(ChangeState, f'{node}/change_state', request, timeout).success:
            raise GraphError(f'{node} failed to {name}')

    def set_parameters(self, node: str, **values: object) -> None:
        """Set parameters of a node; raises ValueError with the node's reason if it refuses."""
        messages = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        request = SetParameters.Request(parameters=messages)
        response = self.call(SetParameters, f'{node}/set_parameters', request)
        reasons = [result.reason for result in response.results if not result.successful]
        if reasons:
            raise ValueError(f'{node}: {"; ".join(reasons)}')

    def _spin(self) -> None:
        self._watch()
        self._executor.spin_once(timeout_sec=0.05)


def transition(name: str) -> Transition:
    """Return a transition by its name: configure, activate, deactivate or cleanup."""
    return Transition(id=getattr(Transition, f'TRANSITION_{name.upper()}'))
