# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command that sets our figures beside the paper's: `vla-cache paper`.

Parses and hands over, as cli.py does; the book that it reads says what is in it.
"""

from pathlib import Path
from typing import Annotated

import typer


def paper(
    files: Annotated[
        list[Path] | None,
        typer.Option(
            '--add',
            help='compare.json, bench.json or the --json of evaluate, to add to the book; repeat.',
        ),
    ] = None,
    book: Annotated[
        Path | None,
        typer.Option(
            help='Markdown file of all records: docs/benchmarks.md where there is one, else '
            'benchmarks.md.'
        ),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(help='--add: what a file was measured at that does not say so itself.'),
    ] = None,
) -> None:
    """Print the paper's tables, ours beside them and how to fill them; or add a measurement."""
    from vla_cache_ros.evaluation.paper import run_paper

    run_paper(files or (), book, commit)
