# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a drill as a program: its arguments are the options, its verdict is the exit code."""

from collections.abc import Callable
import os
from pathlib import Path
import sys
from typing import Any

import tyro

HERE = Path(__file__).resolve().parent


def run(drill: Callable[..., dict[str, Any]]) -> None:
    """
    Run a drill with the options of the command line and end the process.

    Exit code 0 where all was as promised, 1 where it was not or a process died.
    """
    # Nodes that the drill starts find this checkout, and those of this folder.
    paths = [str(HERE.parents[1]), str(HERE), os.environ.get('PYTHONPATH', '')]
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    try:
        figures = tyro.cli(drill)
    except ChildProcessError as error:
        sys.exit(str(error))
    sys.exit(0 if figures['ok'] else 1)
