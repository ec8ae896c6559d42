# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command that tries the drift guard: `vla-cache drift`.

Parses and hands over, as cli.py does; what the figures mean is in docs/bring_up.md.
"""

from pathlib import Path
from typing import Annotated

import typer
from vla_cache_ros.cli.evaluate import Environment
from vla_cache_ros.cli.evaluate import Tasks


def drift(
    checkpoint: Annotated[
        str, typer.Option(help='Checkpoint: `tabletop`, a folder, or a Hugging Face hub id.')
    ] = 'tabletop',
    gate: Annotated[str, typer.Option(help='As for `vla-cache evaluate`.')] = 'learned',
    reuse: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help='Share of visual tokens taken from the cache.'),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help='Number of episodes.')] = 10,
    seed: Annotated[int, typer.Option(min=0, help='Seed of the first episode.')] = 0,
    broken: Annotated[
        str | None, typer.Option(help='Break the gate: inverted, stuck or frozen-camera.')
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, help="Distance that is too far; the node's drift_threshold."),
    ] = None,
    json: Annotated[Path | None, typer.Option('--json', help='File for the figures.')] = None,
    env: Environment = 'tabletop',
    tasks: Tasks = None,
) -> None:
    """Measure how far cached actions are from dense ones, and what the drift guard notices."""
    from vla_cache_ros.evaluation.drift import run_drift

    run_drift(checkpoint, gate, reuse, episodes, seed, broken, threshold, json, env, tasks or ())
