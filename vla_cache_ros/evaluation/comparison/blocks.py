# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a comparison in other processes, a block at a time: all that a seed lacks, by turns in one.

The folder is this process's alone to write; it claims a seed before it hands the block out, so
other processes may work in the folder too. Knows no cluster: a runner does.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
import hashlib
from importlib.util import find_spec
import json
from pathlib import Path
from typing import Any
import uuid

import torch
from tqdm import tqdm
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.comparison.contenders import load_policy
from vla_cache_ros.evaluation.comparison.contenders import machine_of
from vla_cache_ros.evaluation.comparison.contenders import record_of
from vla_cache_ros.evaluation.comparison.contenders import warmed
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.comparison.folder import missing
from vla_cache_ros.evaluation.settings import Comparison
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import Runner
from vla_cache_ros.reports.hardware import code
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.vla.checkpoint import resolve


@dataclass(frozen=True)
class Contest:
    """Say what a process loads: the entries that lack an episode, and whether dense acts along."""

    entries: tuple[Entry, ...]
    checkpoint: str
    device: str
    dtype: str
    env: str
    tasks: tuple[str, ...]
    first_seed: int
    shadow: bool


@dataclass(frozen=True)
class Block:
    """Hold what a seed lacks, in the order of its turns; shadowed: whether dense acts along."""

    seed: int
    entries: tuple[Entry, ...]
    shadowed: bool


@dataclass(frozen=True)
class _Stage:
    """Hold what the blocks of a process share; run: names the process."""

    run: str
    actors: Mapping[Entry, Actor]
    world: Environment
    shadow: Actor | None


def share_blocks(
    folder: ComparisonFolder,
    asked: Comparison,
    entries: Sequence[Entry],
    lacking: Sequence[Entry],
    runner: Runner,
) -> tuple[int, dict[int, str]]:
    """
    Run what is missing of every seed that no other process holds.

    lacking: those of the entries that are loaded. Returns how many seeds were held, and why
    others have no episode. A definition that the folder has otherwise raises ValueError first.
    """
    contest = Contest(
        tuple(lacking), asked.checkpoint, asked.device, asked.dtype, asked.env, asked.task,
        asked.seed, bool(asked.shadow),
    )  # fmt: skip
    definitions = [entry.definition(resolve(asked.checkpoint)) for entry in entries]
    folder.check(definitions)
    seeds = range(asked.seed, asked.seed + asked.episodes)
    claims: list[tuple[int, ExitStack]] = []
    held, failed = 0, {}

    def blocks() -> Iterator[Block]:
        nonlocal held
        for index, seed in enumerate(seeds):
            claim = ExitStack()
            if not claim.enter_context(folder.claim(seed)):
                held += 1
            elif turns := missing(folder, entries, seed):
                claims.append((seed, claim))
                yield Block(seed, tuple(turns), index < asked.shadow)
            else:
                bar.update()
                claim.close()

    job = Job(contest, _begin, _work, _same, gpu=asked.device != 'cpu')
    with ExitStack() as stack, tqdm(total=len(seeds), unit='seed') as bar:
        stack.callback(lambda: [claim.close() for _, claim in claims])
        for outcome in runner.run(job, blocks()):
            seed, claim = claims[outcome.index]
            if outcome.error:
                failed[seed] = outcome.error
            else:
                run, machine, records = outcome.result
                folder.register(definitions)  # not before one of them has run
                for record in records:
                    folder.append(record, machine, run)
            claim.close()
            bar.set_postfix_str(runner.status)
            bar.update()
    return held, failed


def _same(contest: Contest) -> dict[str, str]:
    """Return what episodes depend on beside their seed: versions, weights and gates."""
    folder = resolve(contest.checkpoint)
    gates = [entry.definition(folder) for entry in contest.entries]
    module, _, own = contest.env.partition(':')
    spec = find_spec(module) if own else None
    world = Path(spec.origin).read_bytes() if spec and spec.origin else b''
    libraries = {name: value for name, value in versions().items() if name != 'commit'}
    return {
        **libraries,  # of the simulator, too
        **code(),
        f'environment {contest.env}': hashlib.sha256(world).hexdigest()[:16],
        'checkpoint fingerprint': fingerprint(folder),
        'gates': json.dumps(gates),
    }


def _begin(contest: Contest) -> _Stage:
    torch.set_num_threads(1)
    placed = (contest.checkpoint, contest.device, contest.dtype)
    policies = {entry: load_policy(entry, *placed) for entry in contest.entries}
    setup = Setup.of(next(iter(policies.values())), contest.tasks)
    world = make_environment(contest.env, setup)
    shadow = load_policy(Entry(DENSE, DENSE), *placed) if contest.shadow else None
    actors = warmed(policies, world, contest.first_seed)
    return _Stage(
        uuid.uuid4().hex[:8], actors, world, None if shadow is None else world.wrap(shadow)
    )


def _work(stage: _Stage, block: Block) -> Iterator[Any]:
    shadow = stage.shadow if block.shadowed else None
    records = [
        record_of(entry, stage.actors[entry], stage.world, block.seed, shadow)
        for entry in block.entries
    ]
    yield stage.run, machine_of(stage.world), records
