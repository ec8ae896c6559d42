# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keep cores busy beside a benchmark: processes that compute and end with it, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
import subprocess
import sys
import time

_SETTLE = 0.5  # s until all of them run
# A process ends by itself, too, once its parent is gone.
_SPIN = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(100_000):
        pass
"""


@contextmanager
def busy_processes(count: int) -> Iterator[list[subprocess.Popen]]:
    """Run so many processes, each of which uses a core, for as long as the block takes."""
    processes: list[subprocess.Popen] = []
    try:
        for _ in range(count):
            command = [sys.executable, '-I', '-S', '-c', _SPIN, str(os.getpid())]
            processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        if processes:
            time.sleep(_SETTLE)
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
