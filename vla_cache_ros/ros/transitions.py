# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the errors of lifecycle transitions from vanishing, and from ending the node.

Knows nothing of what a transition does.
"""

from collections.abc import Callable
import functools
import traceback

from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn


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

    rclpy raises out of the executor instead, so that a stranger's second `activate` would end the
    process. It has no public place for this; `test_vla_node_faults.py` holds that it works.
    """

    def __init__(self, name: str, **options) -> None:
        super().__init__(name, **options)
        change = self._LifecycleNodeMixin__change_state

        def refuse(transition: int) -> TransitionCallbackReturn:
            try:
                return change(transition)
            except RCLError:
                self.get_logger().warning(
                    'change_state: expected a transition that begins at '
                    f'{self._state_machine.current_state[1]}, came number {transition}; see '
                    '~/get_available_transitions'
                )
                return TransitionCallbackReturn.FAILURE

        self._LifecycleNodeMixin__change_state = refuse
