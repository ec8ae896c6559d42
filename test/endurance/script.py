# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a drill as a program: its arguments are the options, its verdict is the exit code."""

from collections.abc import Callable
from collections.abc import Sequence
import os
from pathlib import Path
import sys
from typing import Any

import numpy as np
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


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 and the largest of values, nothing of none."""
    points = {'p50': 50, 'p95': 95, 'max': 100} if values else {}
    return {name: float(np.percentile(values, at)) for name, at in points.items()}
