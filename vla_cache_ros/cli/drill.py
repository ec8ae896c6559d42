# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The commands that try a machine before an arm depends on it: `vla-cache drill` and `soak`.

Parses and hands over, as cli.py does; what the figures mean is in docs/bring_up.md.
"""

from pathlib import Path
from typing import Annotated

import typer

drill = typer.Typer(help='Try this machine before an arm depends on it.', no_args_is_help=True)

Out = Annotated[Path, typer.Option(help='Folder for the figures and logs.')]
Minutes = Annotated[float, typer.Option(min=0.1, help='How long.')]
Checkpoint = Annotated[
    str, typer.Option(help='Model of two cameras with the parameters of config/tabletop.yaml.')
]
Gate = Annotated[str, typer.Option(help='As for `vla-cache evaluate`.')]


@drill.command()
def stream(
    out: Out,
    minutes: Minutes = 10.0,
    checkpoint: Checkpoint = 'tabletop',
    gate: Gate = 'learned',
) -> None:
    """Watch the commands of the policy while every core is busy with something else."""
    from vla_cache_ros.live.drill import drill_stream

    raise typer.Exit(0 if drill_stream(out, minutes, checkpoint, gate)['ok'] else 1)


@drill.command()
def recorder(
    out: Out,
    minutes: Minutes = 10.0,
    checkpoint: Checkpoint = 'tabletop',
    gate: Gate = 'learned',
) -> None:
    """Record two cameras of 640 x 480 at 30 Hz beside the policy; 1 to 3.3 GB a minute."""
    from vla_cache_ros.live.drill import drill_recorder

    raise typer.Exit(0 if drill_recorder(out, minutes, checkpoint, gate)['ok'] else 1)


@drill.command()
def kill(
    out: Out,
    times: Annotated[int, typer.Option(min=1, help='How often.')] = 100,
    seed: Annotated[int, typer.Option(min=0, help='Of who is killed, and when.')] = 0,
    checkpoint: Checkpoint = 'tabletop',
    gate: Gate = 'learned',
) -> None:
    """Kill the policy's or the robot's process (SIGKILL) at random moments, and start it again."""
    from kill import drill_kill

    raise typer.Exit(0 if drill_kill(out, times, seed, checkpoint, gate)['ok'] else 1)


@drill.command()
def overrun(out: Out, checkpoint: Checkpoint = 'tabletop', gate: Gate = 'learned') -> None:
    """Slow the model in steps: more reuse, a lower rate, a stop, and back; some minutes."""
    from overrun import drill_overrun

    raise typer.Exit(0 if drill_overrun(out, checkpoint, gate)['ok'] else 1)


def soak(
    out: Annotated[Path, typer.Option(help='Folder for figures, samples, picture and logs.')],
    steps: Annotated[int, typer.Option(min=1, help='Control steps of the robot.')] = 3000,
    seed: Annotated[int, typer.Option(min=0, help='Of scenes and disturbances.')] = 0,
    checkpoint: Checkpoint = 'tabletop',
    gate: Gate = 'learned',
) -> None:
    """Run robot and policy over ROS, disturb them at random, and see whether all stays flat."""
    from soak import run_soak

    raise typer.Exit(0 if run_soak(out, steps, seed, checkpoint, gate)['ok'] else 1)
