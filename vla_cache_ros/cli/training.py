# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The commands that make demonstrations and train on them: `vla-cache demos`, `vla-cache train`.

Parses and hands over, as cli.py does; the recipe that uses these is in docs/reproduce.md.
"""

from pathlib import Path
from typing import Annotated

import typer
from vla_cache_ros.cli import bags as cli_bags

_OF_BAGS = (
    'image_topics', 'instruction', 'instruction_topic', 'joint_topic', 'pose_topic',
    'finger_joints', 'period', 'offsets', 'held_out', 'unnorm_key',
)  # fmt: skip
train = typer.Typer(help='Train on demonstrations.', no_args_is_help=True)

Data = Annotated[
    list[Path], typer.Option('--data', help='Folder of demonstrations; may be repeated.')
]
Out = Annotated[Path, typer.Option(help='Folder for weights and curves; a run there goes on.')]
Seed = Annotated[int, typer.Option(min=0, help='Seed of everything random.')]
ExecuteSteps = Annotated[
    int, typer.Option(min=1, help='Actions of a chunk that the robot carries out.')
]
Env = Annotated[
    str, typer.Option(help='What the demonstrations are of: tabletop or libero_object.')
]


def demos(
    out: Annotated[Path, typer.Option(help='Folder for the shards.')],
    frames: Annotated[int, typer.Option(min=1, help='Frames to write.')] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help='Seed of the first episode.')] = 0,
    student: Annotated[
        str | None,
        typer.Option(help='Checkpoint that acts while the expert labels (DAgger).'),
    ] = None,
    gate: Annotated[str, typer.Option(help='Gate that the student acts with.')] = 'dense',
    reuse: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help='What that gate is asked for.')
    ] = None,
    env: Env = 'tabletop',
) -> None:
    """Have the scripted expert label frames of the simulated arm, or of LIBERO-Object."""
    import numpy as np

    from recipes.domains import LIBERO_OBJECT
    from recipes.domains import named_domain

    if named_domain(env) is LIBERO_OBJECT:
        from recipes import libero_demonstrations as source
    else:
        from recipes import demonstrations as source

    if student is None and (gate != 'dense' or reuse is not None):
        raise typer.BadParameter('--gate and --reuse: expected a --student that acts with it')
    rng = np.random.default_rng(seed)
    if student is None:
        actor = source.disturbed_expert(rng)
    else:
        from vla_cache_ros.policy import Policy

        actor = source.model_actor(Policy.from_pretrained(student, gate=gate, reuse=reuse), rng)
    share = source.collect(out, frames, seed, actor)
    print(f'{frames} frames in {out}; {share:.1%} of the episodes succeeded')


def distance(
    data: Data,
    gates: Annotated[
        list[str],
        typer.Option('--gate', help='Gate, effects or effects-when-new; may be repeated.'),
    ],
    reuses: Annotated[
        list[float], typer.Option('--reuse', min=0.0, max=1.0, help='May be repeated.')
    ],
    checkpoint: Annotated[str, typer.Option(help='Model that the gates belong to.')] = 'tabletop',
    recordings: Annotated[int, typer.Option(min=1, help='Held-out recordings to use.')] = 30,
    json: Annotated[Path | None, typer.Option('--json', help='File for the figures.')] = None,
    execute_steps: ExecuteSteps = 4,
) -> None:
    """Measure how far cached actions are from dense ones on held-out recordings."""
    from vla_cache_ros.training.distance import run_distance

    run_distance(checkpoint, data, gates, reuses, recordings, json, execute_steps)


@train.command()
def towers(
    data: Data,
    out: Out,
    steps: Annotated[int, typer.Option(min=1, help='Updates in total.')] = 1500,
    batch: Annotated[int, typer.Option(min=1, help='Frames per update.')] = 12,
    seed: Seed = 0,
    checkpoint: Annotated[
        str | None, typer.Option(help='Whose tower to begin with, instead of random weights.')
    ] = None,
    env: Env = 'tabletop',
) -> None:
    """Teach the vision tower what the patches show (stage 1)."""
    from recipes.domains import named_domain
    from recipes.towers import train_towers

    train_towers(named_domain(env), data, out, steps, batch, seed=seed, start=checkpoint)


@train.command()
def sight(
    data: Data,
    out: Out,
    checkpoint: Annotated[str, typer.Option(help='Whose tower to train on.')] = 'tabletop',
    until: Annotated[int, typer.Option(min=1, help='Updates in total.')] = 1000,
    batch: Annotated[int, typer.Option(min=1, help='Frames per update and process.')] = 16,
    peak: Annotated[float, typer.Option(min=0.0, help='Peak learning rate.')] = 1e-3,
    full_from: Annotated[
        int | None, typer.Option(min=0, help='Take all patches from this update on.')
    ] = None,
    seed: Seed = 0,
) -> None:
    """Sharpen a tower's sight of the arm; `torchrun` shares the work."""
    from recipes.front_tower import sharpen_tower

    sharpen_tower(data, out, until, checkpoint, batch, peak=peak, full_from=full_from, seed=seed)


@train.command()
def base(
    data: Data,
    out: Out,
    towers: Annotated[
        Path | None, typer.Option(help='towers.pt of stage 1, or of `train sight`.')
    ] = None,
    until: Annotated[int, typer.Option(min=1, help='Updates in total after this phase.')] = 4000,
    batch: Annotated[int, typer.Option(min=1, help='Frames per update and process.')] = 8,
    keep: Annotated[int, typer.Option(min=1, help='Visual tokens per frame.')] = 80,
    peak: Annotated[float, typer.Option(min=0.0, help='Peak learning rate.')] = 1e-3,
    full_every: Annotated[
        int | None, typer.Option(min=1, help='Take all visual tokens at every N-th update.')
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help='Finished checkpoint to train on, instead of towers.')
    ] = None,
    model: Annotated[str, typer.Option(help='tabletop or tabletop-openvla.')] = 'tabletop',
    layers: Annotated[
        int, typer.Option(min=2, help='Decoder layers of tabletop-openvla; a run can go deeper.')
    ] = 32,
    stale: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help='Largest share of tokens shown as they were earlier.'),
    ] = 0.0,
    seed: Seed = 0,
    env: Env = 'tabletop',
) -> None:
    """Teach the decoder to act as the expert does (stage 2); `torchrun` shares the work."""
    from recipes.base import BaseTrainer
    from recipes.domains import named_domain
    from recipes.token_base import TokenTrainer

    if model == 'tabletop':
        trainer = BaseTrainer(data, out, towers, seed, checkpoint, named_domain(env), stale)
    elif model == 'tabletop-openvla':
        trainer = TokenTrainer(data, out, layers, towers, seed, checkpoint)
    else:
        raise typer.BadParameter(
            f'expected tabletop or tabletop-openvla, found {model!r}', param_hint='--model'
        )
    trainer.train(until, batch, keep, peak, full_every)


@train.command()
def gate(
    context: typer.Context,
    out: Out,
    data: Annotated[
        list[Path] | None, typer.Option('--data', help='Folder of demonstrations; repeat.')
    ] = None,
    bags: Annotated[
        list[Path] | None, typer.Option('--bag', help='Bag of your robot, no labels; repeat.')
    ] = None,
    checkpoint: Annotated[str, typer.Option(help='Model to train through, frozen.')] = 'tabletop',
    loss: Annotated[
        str, typer.Option(help='distill (no labels needed) or demonstrations.')
    ] = 'distill',
    target: Annotated[float | None, typer.Option(help='Mean reuse to hold; see --price.')] = 0.77,
    price: Annotated[
        float | None,
        typer.Option(min=0.0, help='Fixed price of recomputing (lambda) instead of a target.'),
    ] = None,
    predictor: Annotated[
        str, typer.Option(help='regressed, or relaxed as in the paper.')
    ] = 'regressed',
    stage1: Annotated[int, typer.Option(min=0, help='Updates of stage I.')] = 4000,
    stage2: Annotated[
        int, typer.Option(min=0, help='Updates of stage II; see docs/method.md.')
    ] = 0,
    align: Annotated[
        str, typer.Option(help='What stage I teaches: effects, or attention as in the paper.')
    ] = 'effects',
    walks: Annotated[
        int, typer.Option(min=1, help='Pieces of about 270 samples that effects are taken from.')
    ] = 24,
    batch: Annotated[int, typer.Option(min=1, help='Frames per update and process.')] = 8,
    relative: Annotated[
        bool, typer.Option(help='Let an action error count by how slow the motion is.')
    ] = True,
    peak: Annotated[float, typer.Option(min=0.0, help='Peak learning rate.')] = 2e-3,
    language: Annotated[bool, typer.Option(help='Let the gate see the instruction.')] = True,
    first_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the tokens that an episode's first step computes; 0.75, with bags 1, "
            'since it depends on the model whether less will do.'
        ),
    ] = None,
    execute_steps: ExecuteSteps = 4,
    start: Annotated[  # torchrun takes --start for an option of its own
        Path | None,
        typer.Option('--from-gate', help='Folder of a gate of this model to begin with.'),
    ] = None,
    seed: Seed = 0,
    image_topics: cli_bags.ImageTopics = None,
    instruction_topic: cli_bags.InstructionTopic = '/instruction',
    instruction: cli_bags.Instruction = '',
    joint_topic: cli_bags.JointTopic = '/joint_states',
    pose_topic: cli_bags.PoseTopic = '/end_effector_pose',
    finger_joints: cli_bags.FingerJoints = None,
    period: Annotated[
        float | None,
        typer.Option(
            help='--bag: seconds between two inferences: execute_steps / rate of the node '
            f'(4, or 1 for action tokens, / {cli_bags.CONTROL_FREQUENCY:g} Hz).'
        ),
    ] = None,
    offsets: Annotated[
        int, typer.Option(min=1, help='--bag: walks through each episode, each begun later.')
    ] = 4,
    held_out: Annotated[
        int | None,
        typer.Option(
            min=1, help='--bag: how many of the last episodes are held out; a fifth if not given.'
        ),
    ] = None,
    unnorm_key: Annotated[
        str | None, typer.Option(help='--bag: data set whose statistics scale state and actions.')
    ] = None,
) -> None:
    """Teach a gate what to recompute, through the frozen model; `torchrun` shares the work."""
    if bool(data) == bool(bags):
        got = 'both' if data else 'neither'
        raise typer.BadParameter(f'expected demonstrations (--data) or bags (--bag), got {got}')
    if data:
        cli_bags.refuse(context, _OF_BAGS, with_bags=False)
    if first_share is None:
        first_share = 0.75 if data else 1.0
    from vla_cache_ros.training.gate_settings import GateTraining

    training = GateTraining(
        stage1=stage1,
        stage2=stage2,
        align=align,
        walks=walks,
        batch=batch,
        loss=loss,
        predictor=predictor,
        target=target if price is None else None,
        price=price,
        relative=relative,
        peak=peak,
        language=language,
        first_share=first_share,
        execute_steps=execute_steps,
        seed=seed,
        start=None if start is None else str(start),
    )
    if data:
        from vla_cache_ros.training.gate_run import train_on_demonstrations

        train_on_demonstrations(checkpoint, data, out, training)
        return
    from vla_cache_ros.bags.steps import Cadence
    from vla_cache_ros.evaluation.recordings.evaluate import usual_steps
    from vla_cache_ros.training.bag_recordings import BagSource
    from vla_cache_ros.training.bag_training import train_on_bags

    topics = cli_bags.topics_of(
        image_topics, instruction, instruction_topic, joint_topic, pose_topic, finger_joints, ''
    )
    if period is None:
        period = usual_steps(checkpoint) / cli_bags.CONTROL_FREQUENCY
    source = BagSource(bags, topics, Cadence(period), offsets)
    train_on_bags(checkpoint, source, out, training, held_out, unnorm_key)
