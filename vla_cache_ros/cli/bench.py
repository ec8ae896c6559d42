# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The commands that measure time: `vla-cache bench`, `vla-cache growth`.

Parses and hands over, as cli.py does; the method is in docs/performance.md.
"""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help='Folder for figures, tables and plots.')]
Seed = Annotated[int, typer.Option(min=0, help='Seed of the first recorded episode.')]


def bench(
    out: Out,
    checkpoint: Annotated[
        str | None, typer.Option(help='`tabletop` (the default), a folder, or a hub id.')
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help='Or openvla-7b, openvla-oft-7b, cogact-7b: random weights, 16 GB.'),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help='Timed steps of every variant; 60, for a shape 4.')
    ] = None,
    reuses: Annotated[
        list[float] | None,
        typer.Option('--reuse', help='Share that learned-fixed takes from the cache; repeat.'),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help='float32 for a checkpoint, bfloat16 for a shape; or as given.'),
    ] = None,
    device: Annotated[str, typer.Option(help='Torch device: cpu, cuda or cuda:N.')] = 'cpu',
    seed: Seed = 0,
    busy: Annotated[
        int, typer.Option(min=0, help='Run all once more beside so many busy processes.')
    ] = 0,
) -> None:
    """Time the plain Hugging Face loop and every variant of the engine, by turns."""
    from vla_cache_ros.evaluation.bench.bench import run_bench

    figures = run_bench(out, checkpoint, shape, steps, reuses or (), dtype, device, seed, busy)
    raise typer.Exit(0 if figures['checks']['ok'] else 1)


def growth(
    out: Out,
    steps: Annotated[int, typer.Option(help='Steps of the long episode, at least 10.')] = 10_000,
    seed: Seed = 0,
) -> None:
    """Time steps as cameras are added, and as one episode grows very long."""
    from vla_cache_ros.evaluation.bench.growth import run_growth

    run_growth(out, steps, seed)
