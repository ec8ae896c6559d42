# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command that sets our figures beside the paper's: `vla-cache paper`."""

from pathlib import Path
from typing import Annotated

import typer


def paper(
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help='A compare.json, bench.json or --json file of evaluate to print too; repeat.'
        ),
    ] = None,
) -> None:
    """Print the paper's tables with our measured rows, and the command for every open one."""
    from vla_cache_ros.evaluation.paper import run_paper

    run_paper(results or ())
