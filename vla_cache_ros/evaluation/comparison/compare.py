# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare gates fairly: run what a folder lacks, then write its figures, tables and plots.

Policies take turns on the same seeds, so that whatever else the machine does falls on all alike;
the order changes from seed to seed, so that what one leaves in the processor's caches does too.
Models and the simulator are loaded only when there is something to run.
"""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
import sys
from typing import Any

from tqdm import tqdm
import vla_cache_ros
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.comparison.blocks import share_blocks
from vla_cache_ros.evaluation.comparison.contenders import load_policy
from vla_cache_ros.evaluation.comparison.contenders import machine_of
from vla_cache_ros.evaluation.comparison.contenders import record_of
from vla_cache_ros.evaluation.comparison.contenders import warmed
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import expand
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.comparison.figures import comparison_figures
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.comparison.folder import missing
from vla_cache_ros.evaluation.comparison.plots import plot_comparison
from vla_cache_ros.evaluation.comparison.table import table
from vla_cache_ros.evaluation.settings import Comparison
from vla_cache_ros.fleet.jobs import Runner
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.files import write_text
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import split_name


def run_compare(asked: Comparison, runner: Runner | None = None) -> dict[str, Any]:
    """
    Run the episodes that the folder lacks, then summarise all that it has.

    Each gate is run at every share of reuse. Several processes may run it on one folder. Entries
    added later need a dense one (of another label) beside them for a latency ratio. runner: runs
    episodes in its processes, in place of this one; `failed` then tells the seeds that could not
    be run. Raises ValueError for an entry that can't be read or loaded, and for a folder of
    another comparison.
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
        if runner is not None:
            return _elsewhere(folder, asked, entries, lacking, runner)
        policies = {e: load_policy(e, asked.checkpoint, *placed) for e in entries if e in lacking}
        folder.register([entry.definition(checkpoint) for entry in entries])
        if policies:
            dense = Entry(DENSE, DENSE)
            shadow = load_policy(dense, asked.checkpoint, *placed) if asked.shadow else None
            setup = Setup.of(next(iter(policies.values())), asked.task)
            with closing(make_environment(asked.env, setup)) as world:
                _run(folder, policies, seeds, world, shadow, asked.shadow)
        return summarize_folder(folder)


def _elsewhere(
    folder: ComparisonFolder,
    asked: Comparison,
    entries: Sequence[Entry],
    lacking: Collection[Entry],
    runner: Runner,
) -> dict[str, Any]:
    failed: dict[int, str] = {}
    if lacking:
        loaded = [entry for entry in entries if entry in lacking]
        held, failed = share_blocks(folder, asked, entries, loaded, runner)
        for seed, reason in failed.items():
            print(f'seed {seed}: not run: {reason}', file=sys.stderr)
        _tell(held)
    return summarize_folder(folder) | ({'failed': failed} if failed else {})


def run_summary(out: Path) -> dict[str, Any]:
    """Summarise what a folder has, without running anything; raises ValueError if it has none."""
    with closing(ComparisonFolder(out)) as folder:
        return summarize_folder(folder)


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
    actors = warmed(policies, world, seeds[0])
    along = None if dense is None else world.wrap(dense)
    _tell(share_seeds(folder, actors, world, seeds, along, shadow))


def _tell(held: int) -> None:
    if held:
        print(f'{held} seeds were with another process; the last one to end has them all')


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
    machine = machine_of(env)
    entries = list(policies)
    held = 0
    with tqdm(seeds, unit='seed') as bar:
        for index, seed in enumerate(bar):
            with folder.claim(seed) as mine:
                if not mine:
                    held += 1
                    continue
                along = shadow if index < shadowed else None
                for entry in missing(folder, entries, seed):
                    bar.set_postfix_str(f'{seed}: {entry.name}')
                    folder.append(record_of(entry, policies[entry], env, seed, along), machine)
    return held
