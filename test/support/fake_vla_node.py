# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The program vla_node with a policy that needs no model and no seconds to load."""

import sys

from fake_policy import FakePolicy
import numpy as np
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.vla_node import VLANode


def policy(_):
    """Return one that turns the arm about the vertical, which it can do for long."""
    made = FakePolicy()
    made.action = np.array([0.0, 0.002, 0.0, 0.0, 0.0, 0.0, 1.0])
    return made


if __name__ == '__main__':
    sys.exit(run(lambda: VLANode(policy), sys.argv))
