# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vla-cache serve` as a process of its own, on a free port of the loopback."""

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
import re
import signal
import subprocess
import sys
import time
from typing import Any

LOAD = 300.0  # s, on a machine that has other work


@contextmanager
def served_process(
    log: Path, options: Mapping[str, Any], ends: bool = True
) -> Iterator[tuple[str, subprocess.Popen]]:
    """
    Yield the address and the process; ends it by SIGTERM, and wants the exit code 0.

    log: file for what it says. options: of `vla-cache serve`, without the dashes. ends: whether it
    still runs at the end. Raises ChildProcessError with its last words where it does not listen.
    """
    given = [text for name, value in options.items() for text in (f'--{name}', str(value))]
    command = [sys.executable, '-m', 'vla_cache_ros.cli', 'serve', '--port', '0', *given]
    with log.open('w') as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield _address(log, process), process
        if ends:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
            if code:
                raise ChildProcessError(f'exit code {code}: {log.read_text()[-2000:]}')
    finally:
        process.kill()
        process.wait()


def _address(log: Path, process: subprocess.Popen) -> str:
    end = time.monotonic() + LOAD
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r'wss?://\S+', log.read_text())
        if found:
            return found[0]
        time.sleep(0.05)
    raise ChildProcessError(f'it does not listen: {log.read_text()[-2000:]}')
