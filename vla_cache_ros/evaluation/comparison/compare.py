# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare gates fairly: run what a folder lacks, then write its figures, tables and plots.

Policies take turns on the same seeds, so that whatever else the machine does falls on all alike;
the order changes from seed to seed, so that what one leaves in the processor's caches does too.
Models and the simulator are loaded only when there is something to run.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
import time
from typing import Any

import torch
from tqdm import tqdm
import vla_cache_ros
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.closed_loop import WARMUP_INFERENCES
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import expand
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.comparison.figures import comparison_figures
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.comparison.folder import Record
from vla_cache_ros.evaluation.comparison.plots import plot_comparison
from vla_cache_ros.evaluation.comparison.table import table
from vla_cache_ros.evaluation.settings import Comparison
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.files import write_text
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import split_name

GATE_SEED = 0  # of the gates' random numbers: the same in every process of a comparison


def run_compare(asked: Comparison) -> dict[str, Any]:
    """
    Run the episodes that the folder lacks, then summarise all that it has.

    Each gate is run at every share of reuse. Several processes may run it on one folder. Entries
    added later need a dense one (of another label) beside them for a latency ratio. Raises
    ValueError for an entry that can't be read or loaded, and for a folder of another comparison.
    """
    entries = expand(asked.gate, asked.reuse)
    checkpoint, placed = resolve(asked.checkpoint), (asked.device, asked.dtype)
    name, _ = split_name(asked.checkpoint)
    settings = {
        'checkpoint': public_name(checkpoint) + asked.checkpoint.removeprefix(name),
        'checkpoint_fingerprint': fingerprint(checkpoint),
        'version': vla_cache_ros.__version__,
    }
    # what is usual is not named
    if asked.env != 'tabletop':
        settings |= {'env': asked.env, 'tasks': list(asked.task)}
    if placed != ('cpu', 'float32'):
        settings |= {'device': asked.device, 'dtype': asked.dtype}
    seeds = range(asked.seed, asked.seed + asked.episodes)
    with closing(ComparisonFolder.join(asked.out, settings)) as folder:
        lacking = {entry for s in seeds for entry in missing(folder, entries, s)}
        policies = {e: load_policy(e, asked.checkpoint, *placed) for e in entries if e in lacking}
        folder.register([entry.definition(checkpoint) for entry in entries])
        if policies:
            dense = Entry(DENSE, DENSE)
            shadow = load_policy(dense, asked.checkpoint, *placed) if asked.shadow else None
            setup = Setup.of(next(iter(policies.values())), asked.task)
            with closing(make_environment(asked.env, setup)) as world:
                _run(folder, policies, seeds, world, shadow, asked.shadow)
        return summarize_folder(folder)


def run_summary(out: Path) -> dict[str, Any]:
    """Summarise what a folder has, without running anything; raises ValueError if it has none."""
    with closing(ComparisonFolder(out)) as folder:
        return summarize_folder(folder)


def load_policy(
    entry: Entry,
    checkpoint: str,
    device: str = 'cpu',
    dtype: str = 'float32',
    images: Mapping[str, Any] | None = None,
) -> Actor:
    """
    Load the policy of an entry; raises ValueError naming the entry.

    images: as of `Policy.from_pretrained`.
    """
    from vla_cache_ros.policy import Policy

    try:
        policy = Policy.from_pretrained(
            checkpoint,
            gate=entry.gate_argument,
            device=device,
            dtype=dtype,
            reuse=entry.reuse,
            seed=GATE_SEED,
            reuse_towers=None if entry.towers is None else bool(entry.towers),
            images=images,
        )
    except ValueError as error:
        raise ValueError(f'{entry.name}: {error}') from error
    for name, value in (('recovery', entry.recovery), ('first_share', entry.first)):
        if value is None:
            continue
        if not hasattr(policy.gate, name):
            raise ValueError(f'{entry.name}: expected a gate with {name}, got {entry.gate!r}')
        setattr(policy.gate, name, value)
    return policy


def summarize_folder(folder: ComparisonFolder) -> dict[str, Any]:
    """Write compare.json, compare.md and the plots from all episodes; print the tables."""
    with folder.locked():  # the last of several processes has all episodes, and the last word
        folder.refresh()
        figures = comparison_figures(
            folder.manifest(), folder.records.values(), folder.machines.values()
        )
        text = table(figures)
        write_json(folder.path / 'compare.json', figures)
        write_text(folder.path / 'compare.md', text + '\n')
        plot_comparison(folder.path, figures)
    print(text)
    return figures


def _run(
    folder: ComparisonFolder,
    policies: Mapping[Entry, Actor],
    seeds: Sequence[int],
    world: Environment,
    dense: Actor | None,
    shadow: int,
) -> None:
    actors = {entry: world.wrap(policy) for entry, policy in policies.items()}
    for actor in actors.values():  # buffers are allocated, caches of the libraries filled
        observation = world.reset(seeds[0])
        for _ in range(WARMUP_INFERENCES):
            actor.act(observation)
    along = None if dense is None else world.wrap(dense)
    held = share_seeds(folder, actors, world, seeds, along, shadow)
    if held:
        print(f'{held} seeds were with another process; the last one to end has them all')


def missing(folder: ComparisonFolder, entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return the entries without an episode of this seed, in the seed's order."""
    ordered = (entries[index] for index in turn_order(len(entries), seed))
    return [entry for entry in ordered if (*entry.key, seed) not in folder.records]


def share_seeds(
    folder: ComparisonFolder,
    policies: Mapping[Entry, Actor],
    env: Environment,
    seeds: Sequence[int],
    shadow: Actor | None = None,
    shadowed: int = 0,
) -> int:
    """
    Run what is missing of every seed that no other process holds; return how many were held.

    shadow: acts along on the first `shadowed` seeds, for the action error.
    """
    machine = {
        **measured_on(),
        'facts': dict(env.facts()),
        'execute_steps': env.execute_steps,
        'control_frequency': env.control_frequency,
    }
    entries = list(policies)
    held = 0
    with tqdm(seeds, unit='seed') as bar:
        for index, seed in enumerate(bar):
            with folder.claim(seed) as mine:
                if not mine:
                    held += 1
                    continue
                for entry in missing(folder, entries, seed):
                    bar.set_postfix_str(f'{seed}: {entry.name}')
                    began = time.time()
                    along = shadow if index < shadowed else None
                    episode = run_episode(policies[entry], env, seed, along)
                    threads, ended = torch.get_num_threads(), time.time()
                    folder.append(Record('', *entry.key, episode, threads, began, ended), machine)
    return held
