# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the errors of lifecycle transitions from vanishing.

Knows nothing of what a transition does.
"""

from collections.abc import Callable
import functools
import traceback

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
