# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The `vla-cache` command: parse arguments, hand over, turn a user's mistake into one line.

Each command imports what it runs when it runs, so that `--help` is quick and a command that needs
no ROS runs on a machine without it. This module decides nothing and computes nothing.
"""

import os
from pathlib import Path
import sys
import traceback
from typing import Annotated

import typer
from vla_cache_ros import __version__
from vla_cache_ros.cli.bench import bench
from vla_cache_ros.cli.bench import growth
from vla_cache_ros.cli.drift import drift
from vla_cache_ros.cli.drill import drill
from vla_cache_ros.cli.drill import soak
from vla_cache_ros.cli.evaluate import Environment
from vla_cache_ros.cli.evaluate import evaluate
from vla_cache_ros.cli.evaluate import Tasks
from vla_cache_ros.cli.paper import paper
from vla_cache_ros.cli.training import demos
from vla_cache_ros.cli.training import distance
from vla_cache_ros.cli.training import train
from vla_cache_ros.extras import missing

DEFAULT_GATE = 'learned'  # what the demo shows beside dense
TRACEBACK_VARIABLE = 'VLA_CACHE_TRACEBACK'

app = typer.Typer(
    name='vla-cache',
    help='Vision-language-action models on robot arms, with a persistent visual token cache.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(evaluate)
app.command()(bench)
app.command()(growth)
app.command()(demos)
app.command()(distance)
app.command()(soak)
app.command()(drift)
app.command()(paper)
app.add_typer(train, name='train')
app.add_typer(drill, name='drill')

Checkpoint = Annotated[
    str, typer.Option(help='Checkpoint: `tabletop`, a folder, or a Hugging Face hub id.')
]
Gate = Annotated[str, typer.Option(help='Gate that chooses which visual tokens to recompute.')]
Reuse = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help='Share of visual tokens taken from the cache; the gate knows its own default.',
    ),
]
Episodes = Annotated[int, typer.Option(min=1, help='Number of episodes.')]
Seed = Annotated[int, typer.Option(min=0, help='Seed of the first episode; the next adds one.')]
Json = Annotated[Path | None, typer.Option('--json', help='File for the figures.')]


@app.command()
def compare(
    out: Annotated[Path, typer.Option(help='Folder of the comparison; one there goes on.')],
    gates: Annotated[
        list[str] | None,
        typer.Option(
            '--gate', help='[label=]gate[@folder][,recovery|first|reuse|towers=X]; repeat.'
        ),
    ] = None,
    reuses: Annotated[
        list[float] | None,
        typer.Option(
            '--reuse', min=0.0, max=1.0, help='Share taken from the cache; may be repeated.'
        ),
    ] = None,
    checkpoint: Checkpoint = 'tabletop',
    episodes: Episodes = 10,
    seed: Seed = 0,
    shadow: Annotated[
        int, typer.Option(min=0, help='Seeds on which dense acts along, for the action error.')
    ] = 0,
    device: Annotated[str, typer.Option(help='Torch device: cpu, cuda or cuda:N.')] = 'cpu',
    dtype: Annotated[
        str, typer.Option(help='float32, bfloat16, float16, int8 or fp8.')
    ] = 'float32',
    env: Environment = 'tabletop',
    tasks: Tasks = None,
    summary: Annotated[
        bool, typer.Option('--summary', help='Run nothing, only write the figures of the folder.')
    ] = False,
) -> None:
    """Compare gates on the same seeds, by turns; several processes may share one folder."""
    from vla_cache_ros.evaluation.comparison.compare import run_compare
    from vla_cache_ros.evaluation.comparison.compare import run_summary

    if summary:
        run_summary(out)
    else:
        run_compare(
            out, gates or [], reuses or [], episodes, seed, checkpoint, shadow, device, dtype, env,
            tasks or (),
        )  # fmt: skip


@app.command()
def report(
    out: Annotated[Path, typer.Option(help='Folder for film strip, video, page and figures.')],
    gate: Gate = DEFAULT_GATE,
    reuse: Reuse = None,
    checkpoint: Checkpoint = 'tabletop',
    episodes: Annotated[
        int, typer.Option(min=1, help='Several also give reuse in quiet and in contact phases.')
    ] = 1,
    seed: Seed = 0,
) -> None:
    """Show which tokens a gate recomputes in an episode, why, and what dense would have done."""
    from vla_cache_ros.evaluation.episode.report import run_report

    run_report(checkpoint, gate, reuse, episodes, seed, out)


@app.command()
def steady(
    checkpoint: Checkpoint = 'tabletop',
    gate: Gate = DEFAULT_GATE,
    reuse: Reuse = None,
    steps: Annotated[int, typer.Option(min=1000, help='Inferences in the one episode.')] = 5000,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Run one very long episode; compare the time and memory of its first and last steps."""
    from vla_cache_ros.evaluation.steady import run_steady

    run_steady(checkpoint, gate, reuse, steps, seed, json)


@app.command()
def demo(
    episodes: Episodes = 3,
    gate: Gate = DEFAULT_GATE,
    reuse: Reuse = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help='Folder for report, video and bag.')] = Path(
        'demo_out'
    ),
    checkpoint: Checkpoint = 'tabletop',
    execution: Annotated[
        str, typer.Option(help='synchronous, asynchronous or ensembled; see docs/bring_up.md.')
    ] = 'synchronous',
) -> None:
    """Drive the simulated arm over real ROS 2, dense and then cached, and show what it saved."""
    from vla_cache_ros.live.demo import run_demo

    run_demo(checkpoint, gate, reuse, episodes, seed, out, execution)


@app.command()
def verify(
    golden: Annotated[Path, typer.Option(help='Folder with a checkpoint and golden outputs.')],
    json: Json = None,
) -> None:
    """Compare a checkpoint with the golden outputs in its folder, array by array."""
    from vla_cache_ros.evaluation.verify import run_verify

    raise typer.Exit(0 if run_verify(golden, json) else 1)


@app.command('record')
def record(
    out: Annotated[Path, typer.Option(help='Folder of the bag; must not exist yet.')],
    topics: Annotated[list[str] | None, typer.Option('--topic', help='Topic to record.')] = None,
) -> None:
    """Record the running graph into a rosbag2 (MCAP) folder until Ctrl-C."""
    from vla_cache_ros.ros.recorder import run_record

    run_record(out, topics)


@app.command()
def parameters() -> None:
    """Print every parameter of every node, as in docs/parameters.md."""
    from vla_cache_ros.control.parameter_table import markdown

    typer.echo(markdown(), nl=False)


@app.command('version')
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """
    Run the command line.

    Exit code 0 after success, 1 where a check did not hold or the program is wrong, 2 after a
    mistake that the user can mend, 130 after Ctrl-C.
    """
    try:
        app()
    except ChildProcessError as error:  # its message ends with lines of a log: keep them
        print(f'vla-cache: {error}', file=sys.stderr)
        sys.exit(1)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exc()
        print(f'vla-cache: {_one_line(error)}', file=sys.stderr)
        sys.exit(2)


def _one_line(error: Exception) -> str:
    text = missing(error) if isinstance(error, ModuleNotFoundError) else str(error)
    return ' '.join(text.split()) or type(error).__name__
