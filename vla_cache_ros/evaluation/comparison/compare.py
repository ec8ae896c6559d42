# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare gates fairly: run what a folder lacks, then write its figures, tables and plots.

Joins the parts: entries, folder, turns, figures, plots. Loads models and the simulator only when
there is something to run.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import vla_cache_ros
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import expand
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.comparison.figures import comparison_figures
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.comparison.plots import plot_comparison
from vla_cache_ros.evaluation.comparison.runs import missing
from vla_cache_ros.evaluation.comparison.runs import share_seeds
from vla_cache_ros.evaluation.comparison.runs import warm_up
from vla_cache_ros.evaluation.solved_time import solved_text
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.files import write_text
from vla_cache_ros.reports.tables import as_markdown
from vla_cache_ros.reports.tables import Table

GATE_SEED = 0  # of the gates' random numbers: the same in every process of a comparison


def run_compare(
    out: Path,
    gates: Sequence[str],
    reuses: Sequence[float],
    episodes: int,
    seed: int,
    checkpoint: str = 'tabletop',
    shadow: int = 0,
    device: str = 'cpu',
    dtype: str = 'float32',
    env: str = 'tabletop',
    tasks: Sequence[str] = (),
) -> dict[str, Any]:
    """
    Run the episodes that `out` lacks, then summarise all that it has.

    env, tasks: see `environments`. gates: entries as `parse_entry` reads them, each run at every
    share of `reuses`. shadow: number of seeds, from the first, on which a dense policy acts along
    for the action error. Several processes may run it on one folder. Entries added later need a
    dense one (of another label) beside them for a latency ratio. Raises ValueError for an entry
    that can't be read or loaded, and for a folder of another comparison.
    """
    entries = expand(gates, reuses)
    from vla_cache_ros.vla.checkpoint import resolve

    checkpoint_folder = resolve(checkpoint)
    settings = {
        'checkpoint': public_name(checkpoint_folder),
        'checkpoint_fingerprint': fingerprint(checkpoint_folder),
        'version': vla_cache_ros.__version__,
    }
    # what is usual is not named
    if env != 'tabletop':
        settings |= {'env': env, 'tasks': list(tasks)}
    if (device, dtype) != ('cpu', 'float32'):
        settings |= {'device': device, 'dtype': dtype}
    seeds = range(seed, seed + episodes)
    with closing(ComparisonFolder.join(out, settings)) as folder:
        lacking = {entry for s in seeds for entry in missing(folder, entries, s)}
        policies = {e: load_policy(e, checkpoint, device, dtype) for e in entries if e in lacking}
        folder.register([entry.definition(checkpoint_folder) for entry in entries])
        if policies:
            dense = Entry(DENSE, DENSE)
            shadowing = load_policy(dense, checkpoint, device, dtype) if shadow else None
            setup = Setup.of(next(iter(policies.values())), tuple(tasks))
            world = make_environment(env, setup)
            _run(folder, policies, seeds, world, shadowing, shadow)
        return summarize_folder(folder)


def run_summary(out: Path) -> dict[str, Any]:
    """Summarise what a folder has, without running anything; raises ValueError if it has none."""
    with closing(ComparisonFolder(out)) as folder:
        return summarize_folder(folder)


def load_policy(
    entry: Entry, checkpoint: str, device: str = 'cpu', dtype: str = 'float32'
) -> Actor:
    """Load the policy of an entry; raises ValueError naming the entry."""
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


def table(figures: Mapping[str, Any]) -> str:
    """Return the comparison in Markdown: what each entry came to, and paired differences."""
    entries = figures['entries']
    pairs = ('points (95 %)', "McNemar's p", 'n')
    columns = ['entry', f'{figures["reference"] or DENSE}: {pairs[0]}', *pairs[1:]]
    columns += [f'best rule: {pairs[0]}', *pairs[1:]]
    compared = [
        [entry['name'], *_pair(entry['against_dense']), *_pair(entry['against_best_rule'])]
        for entry in entries
        if entry['against_dense'] or entry['against_best_rule']
    ]
    running, threads = figures['processes'], figures['threads']
    note = (
        f'{figures["env"]} ({", ".join(f"{k} {v}" for k, v in figures["facts"].items())}), '
        f'checkpoint {figures["checkpoint"]} ({figures["checkpoint_fingerprint"]}), seeds '
        f'{figures["seeds"][0]} to {figures["seeds"][1]}, '
        f'{" and ".join(str(machine["cpu"]) for machine in figures["hardware"])}, '
        f'{running["at_once"]} process(es) at a time, torch threads '
        f'{" or ".join(map(str, threads))}.'
    )
    tables = Table.of([*map(_cells, entries)]), Table(columns, compared)
    return '\n\n'.join([*map(as_markdown, tables), note])


def _run(
    folder: ComparisonFolder,
    policies: Mapping[Entry, Any],
    seeds: Sequence[int],
    world: Environment,
    dense: Actor | None,
    shadow: int,
) -> None:
    actors = {entry: world.wrap(policy) for entry, policy in policies.items()}
    try:
        warm_up([*actors.values()], world, seeds[0])
        beside = None if dense is None else world.wrap(dense)
        held = share_seeds(folder, actors, world, seeds, beside, shadow)
    finally:
        world.close()
    if held:
        print(f'{held} seeds were with another process; the last one to end has them all')


def _cells(entry: Mapping[str, Any]) -> dict[str, str]:
    low, high = (100 * bound for bound in entry['success_ci95'])
    latency, ages, ratio = entry['latency_ms'], entry['ages'], entry['latency_ratio']
    error, solved = entry['action_error'], entry['seconds_per_solved_ratio']
    return {
        'entry': entry['name'],
        'success': f'{entry["successes"]} of {entry["episodes"]}',
        '95 % interval': f'{low:.1f} to {high:.1f} %',
        'reuse': _format(entry['reuse_mean'], '{:.1%}'),
        'of cached steps': _format(entry['reuse_mean_cached'], '{:.1%}'),
        'action error': _format(error and error['mean'], '{:.4f}'),
        'age mean / p95 / max': '{mean:.1f} / {p95} / {max}'.format(**ages) if ages else '',
        'p50 ms': _format(latency['total']['p50'], '{:.1f}'),
        'p95 ms': _format(latency['total']['p95'], '{:.1f}'),
        'p50 ratio': _format(ratio and ratio['p50'], '{:.2f}'),
        'p95 ratio': _format(ratio and ratio['p95'], '{:.2f}'),
        'gate p50 ms': _format(latency['gate']['p50'], '{:.2f}'),
        's per solved task (95 %)': solved_text(
            entry['seconds_per_solved'], entry['seconds_per_solved_ci95'], 2
        ),
        'ratio (95 %)': solved_text(solved['ratio'], solved['ci95'], 3) if solved else '',
    }


def _pair(pair: Mapping[str, Any] | None) -> list[str]:
    if pair is None:
        return ['', '', '']
    low, high = (100 * bound for bound in pair['success_difference_ci95'])
    rule = f'{pair["rule"]}: ' if 'rule' in pair else ''
    return [
        f'{rule}{100 * pair["success_difference"]:+.1f} ({low:+.1f} to {high:+.1f})',
        f'{pair["mcnemar_p"]:.3g}',
        str(pair['episodes']),
    ]


def _format(value: float | None, form: str) -> str:
    return '' if value is None else form.format(value).replace('%', ' %')
