# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one node as a process: spin until a signal comes, stop cleanly while the context is valid.

Knows nothing of what the node does.
"""

from collections.abc import Callable
import os
import signal
import sys
import threading

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from vla_cache_ros.extras import missing
from vla_cache_ros.ros.shared_memory import remove_dead_segments

stop_requested = threading.Event()


def run(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """
    Spin the node that make_node returns; return the exit code of the process.

    rclpy's own handler would shut the context down first, and a stop command sent afterwards
    would never leave; so SIGINT and SIGTERM only set a flag here. The node's close() is called
    while it can still publish; its exit_code, if it has one, is returned, and a node that has
    abandoned a thread ends the process at once. A ValueError of make_node, or an extra that is
    not installed, is a user's mistake: one line, code 2.
    """
    remove_dead_segments()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    stop_requested.clear()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop_requested.set())
    try:
        try:
            node = make_node()
        except ModuleNotFoundError as error:
            print(f'error: {missing(error)}', file=sys.stderr)
            return 2
        except ValueError as error:
            print(f'error: {error}', file=sys.stderr)
            return 2
        # half the time between image and command that the executor with wait sets needs
        executor = EventsExecutor()
        executor.add_node(node)
        try:
            while not stop_requested.is_set():
                executor.spin_once(timeout_sec=0.1)
        finally:
            node.close()
            executor.remove_node(node)
            node.destroy_node()
        code = getattr(node, 'exit_code', 0)
    finally:
        rclpy.shutdown()
    if getattr(node, 'abandoned', False):
        # A thread inside a library would hold the interpreter's end up, possibly for ever.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
