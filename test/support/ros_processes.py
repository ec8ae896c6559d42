# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Programs of this package as processes of their own, next to a graph that looks on."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
import os
import subprocess
import sys

from paths import ROOT
from rclpy.node import Node
from ros_graph import CAMERAS
from ros_graph import Graph

NODE = str(ROOT / 'test' / 'support' / 'fake_vla_node.py')
LIVE = {
    'image_topics': list(CAMERAS),
    'control_frequency': 10.0,
    'image_timeout': 2.0,
    'state_timeout': 2.0,
    'dry_run': False,
}


@contextmanager
def starting() -> Iterator[Callable[..., subprocess.Popen]]:
    """Yield what starts Python with this package on its path; kill at the end what is left."""
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    started: list[subprocess.Popen] = []

    def start(*command: str, environment=None) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, 'PYTHONPATH': path, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.communicate()


def arguments(**parameters: object) -> list[str]:
    """Return ROS arguments that set parameters."""
    found = ['--ros-args']
    for name, value in parameters.items():
        found += ['-p', f'{name}:={str(value).lower() if value in (True, False) else value}']
    return found


class Nothing(Node):
    """A node that does nothing."""

    def __init__(self, **options):
        super().__init__('nothing', **options)

    def close(self):
        pass


class Outside(Graph):
    """A graph whose node under test is another process."""

    def __init__(self):
        super().__init__(Nothing)
