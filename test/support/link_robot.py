# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Cameras and arm of the tests as a process of its own, for the far end of a network.

Brings vla_node to motion; then writes a JSON line for every twist, `[received (s), moves]`, and
one, `N nodes`, whenever another number of nodes is known.
"""

import json
import sys
import time

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from ros_graph import Surroundings


def main():
    """Run until killed."""
    context = Context()
    rclpy.init(context=context)
    node = Surroundings(context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    client = node.create_client(ChangeState, 'vla_node/change_state')
    while not client.service_is_ready():
        executor.spin_once(timeout_sec=0.1)
    for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
        executor.spin_until_future_complete(future)
    node.instruct('push the cube')
    known = 0
    while True:
        executor.spin_once(timeout_sec=0.1)
        if known != (known := len(node.get_node_names())):
            print(f'{known} nodes', flush=True)
        while node.twists:
            _, twist, _, _ = node.twists.popleft()
            print(json.dumps([time.time(), bool(np.any(twist))]), flush=True)


if __name__ == '__main__':
    sys.exit(main())
