# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policy servers as processes: `vla-cache serve` with a small model, and one that does wrong."""

import os
from pathlib import Path
import socket
import subprocess
import sys
import time

from paths import ROOT

FAKE = str(ROOT / 'test' / 'support' / 'fake_policy_server.py')


def free_port():
    """Return a port of the loopback that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


class PolicyServer:
    """
    A program that serves on a port, and is started again there.

    log: the file that it writes to.
    """

    def __init__(self, log):
        """Take a port; nothing listens yet."""
        self.port, self.log, self.process = free_port(), Path(log), None

    def start(self, *command, wait=True):
        """Start Python with these arguments; wait: until it listens."""
        path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
        with self.log.open('ab') as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, 'PYTHONPATH': path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.wait()

    def serve(self, checkpoint, *options, wait=True):
        """Start `vla-cache serve`."""
        self.start(
            '-m', 'vla_cache_ros.cli', 'serve', '--checkpoint', str(checkpoint), '--gate',
            'motion', '--port', str(self.port), *options, wait=wait,
        )  # fmt: skip

    def fake(self, fault):
        """Start the server that does wrong what a file names."""
        self.start(FAKE, str(self.port), str(fault))

    def wait(self, timeout=120.0):
        """Wait until it listens."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(('127.0.0.1', self.port), 1.0):
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def signal(self, number):
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self):
        """End it without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
