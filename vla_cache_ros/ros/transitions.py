# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the errors of lifecycle transitions from vanishing, and from ending the node.

Knows nothing of what a transition does.
"""

from collections.abc import Callable
import functools
import traceback
from typing import Any

from lifecycle_msgs.srv import ChangeState
from lifecycle_msgs.srv import GetAvailableTransitions
from lifecycle_msgs.srv import GetState
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.service import Service


def guarded(callback: Callable) -> Callable:
    """Log the traceback of a transition and fail it: rclpy would turn it into ERROR, unlogged."""

    @functools.wraps(callback)
    def transition(self: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return callback(self, state)
        except InterruptedError as error:  # the user's own wish
            self.get_logger().info(f'{callback.__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - whatever it is, the node stays up
            self.get_logger().error(
                f'{callback.__name__} failed: {error}\n{traceback.format_exc()}'
            )
            return TransitionCallbackReturn.FAILURE

    return transition


class TolerantLifecycleNode(LifecycleNode):
    """
    Refuse in one line a transition that the node's state does not know.

    rclpy of Jazzy raises out of the executor instead, so that a stranger's second `activate` would
    end the process; that of Kilted calls it an error.
    """

    def __init__(self, name: str, **options) -> None:
        super().__init__(name, **options)
        services: dict[type, Service] = {}
        for service in self.services:  # by type: any of them may have been renamed
            services.setdefault(service.srv_type, service)
        change, state = services[ChangeState], services[GetState]
        available = services[GetAvailableTransitions]  # the first; the second tells of all states
        perform = change.callback

        def refuse(
            request: ChangeState.Request, response: ChangeState.Response
        ) -> ChangeState.Response:
            asked = request.transition
            known = [
                one.transition.label if asked.label else one.transition.id
                for one in _answer(available).available_transitions
            ]
            if (asked.label or asked.id) in known:
                return perform(request, response)
            self.get_logger().warning(
                'change_state: expected a transition that begins at '
                f'{_answer(state).current_state.label}, got {asked.label or asked.id}; see '
                '~/get_available_transitions'
            )
            response.success = False
            return response

        change.callback = refuse


def _answer(service: Service) -> Any:  # noqa: ANN401
    """Return what a service of this node answers to an empty request."""
    return service.callback(service.srv_type.Request(), service.srv_type.Response())
