# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stop a process as a debugger or a full swap would."""

import os
import signal
import subprocess


def freeze(process: subprocess.Popen) -> None:
    """Stop a process; returns once all its threads stand, which may take a while on a busy CPU."""
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
