# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The command `vla-cache evaluate`: in closed loop in a simulator, or along recordings.

Both share checkpoint and gates. An option of the one is refused with the other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from typing import Any

import typer
from vla_cache_ros.cli import bags as cli_bags
from vla_cache_ros.cli.bags import CONTROL_FREQUENCY

Environment = Annotated[
    str,
    typer.Option(
        '--env',
        help='tabletop, libero_spatial, libero_object, libero_goal, libero_10, simpler_bridge, '
        'maniskill_pick_cube, or module:function of your own (docs/extending.md).',
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option('--task', help='Name or number of a task of --env, instead of all; repeat.'),
]
_OF_ROBOT = ('episodes', 'seed', 'json', 'env', 'tasks')
_OF_BAGS = (
    'out', 'image_topics', 'instruction', 'instruction_topic', 'joint_topic', 'pose_topic',
    'finger_joints', 'report_topic', 'state', 'execute_steps', 'period', 'processes',
)  # fmt: skip


def evaluate(
    context: typer.Context,
    checkpoint: Annotated[
        str, typer.Option(help='Checkpoint: `tabletop`, a folder, or a Hugging Face hub id.')
    ] = 'tabletop',
    gates: Annotated[
        list[str] | None,
        typer.Option(
            '--gate',
            help='Gate that chooses which visual tokens to recompute. With --bag: '
            '[label=]gate[@folder][,recovery|first|reuse|towers=X]; repeat.',
        ),
    ] = None,
    reuses: Annotated[
        list[float] | None,
        typer.Option(
            '--reuse',
            min=0.0,
            max=1.0,
            help='Share of visual tokens taken from the cache; the gate knows its own default. '
            'With --bag it may be repeated.',
        ),
    ] = None,
    device: Annotated[str, typer.Option(help='Torch device: cpu, cuda or cuda:N.')] = 'cpu',
    dtype: Annotated[
        str, typer.Option(help='float32, bfloat16, float16, int8 or fp8.')
    ] = 'float32',
    episodes: Annotated[int, typer.Option(min=1, help='Number of episodes.')] = 10,
    seed: Annotated[int, typer.Option(min=0, help='Seed of the first episode.')] = 0,
    json: Annotated[Path | None, typer.Option('--json', help='File for the figures.')] = None,
    env: Environment = 'tabletop',
    tasks: Tasks = None,
    bags: Annotated[
        list[Path] | None,
        typer.Option('--bag', help='rosbag2 folder, .mcap or .db3 file to evaluate on; repeat.'),
    ] = None,
    out: Annotated[
        Path, typer.Option(help='--bag: folder for report.html and report.json.')
    ] = Path('evaluation'),
    image_topics: cli_bags.ImageTopics = None,
    instruction: cli_bags.Instruction = '',
    instruction_topic: cli_bags.InstructionTopic = '/instruction',
    joint_topic: cli_bags.JointTopic = '/joint_states',
    pose_topic: cli_bags.PoseTopic = '/end_effector_pose',
    finger_joints: cli_bags.FingerJoints = None,
    report_topic: Annotated[
        str,
        typer.Option(
            help="--bag: a live node's step reports; they name the observations. '' chooses "
            'observations by time instead.'
        ),
    ] = '/vla_node/step_report',
    state: Annotated[
        str,
        typer.Option(
            help="--bag: recorded, or middle: feed the middle of the checkpoint's range where a "
            'bag has no state.'
        ),
    ] = 'recorded',
    execute_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help='--bag: actions of a chunk that are executed, hence compared (4; 1 for a '
            'checkpoint that gives one at a time).',
        ),
    ] = None,
    period: Annotated[
        float | None,
        typer.Option(
            help='--bag: seconds between two observations where no live node chose them '
            f'(execute-steps / {CONTROL_FREQUENCY:g} Hz).'
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help='--bag: bags at a time (one per core).')
    ] = None,
) -> None:
    """Evaluate gates: closed-loop episodes in process, or with --bag along recordings."""
    cli_bags.refuse(context, _OF_ROBOT if bags else _OF_BAGS, bool(bags))
    if not bags:
        from vla_cache_ros.evaluation.closed_loop import run_evaluate

        gate, reuse = _one(gates, '--gate') or 'dense', _one(reuses, '--reuse')
        run_evaluate(
            checkpoint, gate, reuse, episodes, seed, json, device, dtype,
            env=env, tasks=tasks or (),
        )  # fmt: skip
        return

    from vla_cache_ros.bags.walk import Cadence
    from vla_cache_ros.evaluation.recordings.evaluate import run_bags
    from vla_cache_ros.evaluation.recordings.evaluate import usual_steps
    from vla_cache_ros.evaluation.recordings.run import BagTask
    from vla_cache_ros.evaluation.recordings.run import MIDDLE
    from vla_cache_ros.evaluation.recordings.run import RECORDED

    if state not in (RECORDED, MIDDLE):
        raise ValueError(f'--state: expected {RECORDED} or {MIDDLE}, got {state!r}')
    topics = cli_bags.topics_of(
        image_topics, instruction, instruction_topic, joint_topic, pose_topic, finger_joints,
        report_topic,
    )  # fmt: skip
    executed = execute_steps or usual_steps(checkpoint)
    cadence = Cadence(executed / CONTROL_FREQUENCY if period is None else period)
    tasks = [BagTask(bag, topics, cadence, executed, state, bool(image_topics)) for bag in bags]
    figures = run_bags(
        tasks, checkpoint, gates or ['learned'], reuses or [], out, processes, device, dtype
    )
    raise typer.Exit(0 if figures['bags'] else 1)


def _one(values: Sequence[Any] | None, option: str) -> Any:  # noqa: ANN401
    if values and len(values) > 1:
        raise ValueError(
            f'{option}: expected it once, got it {len(values)} times; several gates go with --bag '
            'or vla-cache compare'
        )
    return values[0] if values else None
