# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn the episodes of a comparison into figures.

Success is compared over the seeds that both sides have, latency over the seeds that one process
ran for both: whatever else the machine did then fell on both. Reads no file, writes none.
"""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.closed_loop import WARMUP_INFERENCES
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import entry_name
from vla_cache_ros.evaluation.comparison.entries import RULES
from vla_cache_ros.evaluation.comparison.folder import Record
from vla_cache_ros.evaluation.solved_time import solved_ratio
from vla_cache_ros.reports.statistics import mcnemar
from vla_cache_ros.reports.statistics import paired_bootstrap_difference
from vla_cache_ros.reports.statistics import percentiles

Key = tuple[str, float | None]  # label and requested reuse of an entry
Run = Mapping[int, Record]  # an entry's records by seed


def comparison_figures(
    manifest: Mapping[str, Any],
    records: Iterable[Record],
    machines: Collection[Mapping[str, Any]],
) -> dict[str, Any]:
    """
    Return the figures of a comparison as plain JSON values, entries in the manifest's order.

    manifest: settings and `entries`. machines: what each process said of itself. An entry
    without an episode is left out; the first dense entry is the reference.

    Raises ValueError: no episode at all.
    """
    runs: dict[Key, dict[int, Record]] = {}
    for record in records:
        runs.setdefault(record.entry, {})[record.episode.seed] = record
    keys = ((entry['label'], entry['requested_reuse']) for entry in manifest['entries'])
    definitions = {
        key: entry for key, entry in zip(keys, manifest['entries'], strict=True) if key in runs
    }
    if not definitions:
        raise ValueError('comparison: expected at least 1 episode, got 0')
    denses = [key for key, entry in definitions.items() if entry['gate'] == DENSE]
    dense = denses[0] if denses else None
    entries = []
    for key, definition in definitions.items():
        run, others = runs[key], [runs[d] for d in denses if d != key]
        compared = dense is not None and key != dense
        rule = best_rule(definitions, runs, key[1])
        rival = paired(runs[rule], run) if rule and rule != key else None
        entries.append(
            {
                **definition,
                'name': entry_name(*key),
                **entry_figures(run, definition['gate']),
                'against_dense': paired(runs[dense], run) if compared else None,
                'latency_ratio': latency_ratio(others, run) if compared else None,
                'seconds_per_solved_ratio': seconds_ratio(others, run) if compared else None,
                'against_best_rule': {'rule': entry_name(*rule), **rival}
                if rival and definition['gate'] != DENSE
                else None,
            }
        )
    everything = [record for key in definitions for record in runs[key].values()]
    seeds = [record.episode.seed for record in everything]
    return {
        'env': 'tabletop',  # which the settings leave out
        'execute_steps': max(machine['execute_steps'] for machine in machines),
        'control_frequency': max(machine['control_frequency'] for machine in machines),
        **{name: value for name, value in manifest.items() if name != 'entries'},
        'reference': None if dense is None else entry_name(*dense),
        'seeds': [min(seeds), max(seeds)],
        'processes': processes(everything),
        'threads': sorted({record.threads for record in everything}),
        'warmup_inferences': WARMUP_INFERENCES,
        'hardware': _distinct(machine['hardware'] for machine in machines),
        'versions': _distinct(machine['versions'] for machine in machines),
        'facts': _facts(machines),
        'entries': entries,
        'trained_pairs': trained_pairs(definitions, runs),
    }


def _facts(machines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return what the environment said of itself, all answers where processes differ."""
    facts = [machine['facts'] for machine in machines]
    names = dict.fromkeys(name for said in facts for name in said)
    return {n: ' and '.join(_distinct(f[n] for f in facts if n in f)) for n in names}


def entry_figures(run: Run, gate: str) -> dict[str, Any]:
    """
    Return what one entry came to, all its episodes taken together.

    reuse_mean counts full refreshes as zero; reuse_mean_cached leaves them out, which is what a
    gate can be asked for. latency_ms: every inference counts, policies are warm before the first.
    """
    episodes = [run[seed].episode for seed in sorted(run)]
    figures = summarize(episodes, gate, warmup=0)
    for name in ('hardware', 'versions', 'per_episode', 'latency_warmup_skipped', 'gate'):
        del figures[name]
    cached = [
        reuse
        for episode in episodes
        for reuse, refresh in zip(episode.reuse, episode.refreshes, strict=True)
        if not refresh
    ]
    errors = [episode.action_error for episode in episodes if episode.action_error]
    return {
        **figures,
        'seeds': seed_ranges(run),
        'failed_seeds': [episode.seed for episode in episodes if not episode.success],
        'reuse_mean_cached': float(np.mean(cached)) if cached else None,
        'ages': token_ages(episodes),
        'action_error': {'mean': float(np.mean(np.concatenate(errors))), 'episodes': len(errors)}
        if errors
        else None,
    }


def paired(reference: Run, other: Run) -> dict[str, Any] | None:
    """
    Return how an entry's success differs from a reference's on the seeds both have, or None.

    success_difference and its bootstrap interval are other minus reference, share of episodes;
    mcnemar_p is exact.
    """
    seeds = sorted(reference.keys() & other.keys())
    if not seeds:
        return None
    before = [reference[seed].episode.success for seed in seeds]
    after = [other[seed].episode.success for seed in seeds]
    difference, low, high = paired_bootstrap_difference(after, before)
    gained, lost, p = mcnemar(after, before)
    return {
        'episodes': len(seeds),
        'success_difference': difference,
        'success_difference_ci95': [low, high],
        'gained': gained,
        'lost': lost,
        'mcnemar_p': p,
    }


def latency_ratio(references: Sequence[Run], other: Run) -> dict[str, Any] | None:
    """
    Return the ratio of total latency, other to dense, below 1 is faster; or None.

    references: the dense entries, of which `timed_together` takes one for each episode.
    """
    pairs = list(timed_together(references, other))
    totals = [
        [stages['total'] for episode in side for stages in episode.latency_ms]
        for side in zip(*pairs, strict=True)
    ]
    if not totals or not all(totals):
        return None
    before, after = (percentiles(values) for values in totals)
    return {'episodes': len(pairs), **{q: after[q] / before[q] for q in before}}


def seconds_ratio(references: Sequence[Run], other: Run) -> dict[str, Any] | None:
    """
    Return the ratio of seconds per solved task, other to dense, below 1 is better; or None.

    references: as for `latency_ratio`.
    """
    pairs = list(timed_together(references, other))
    dense, own = ([(pair[side].seconds, pair[side].success) for pair in pairs] for side in (0, 1))
    return solved_ratio(dense, own)


def timed_together(references: Sequence[Run], other: Run) -> Iterator[tuple[Episode, Episode]]:
    """
    Yield (dense episode, episode) for the seeds that one process ran for both.

    An entry that was added later is compared with the dense entry added along with it.
    """
    for seed, record in sorted(other.items()):
        dense = (run[seed] for run in references if seed in run and run[seed].run == record.run)
        partner = next(dense, None)
        if partner is not None:
            yield partner.episode, record.episode


def best_rule(
    definitions: Mapping[Key, Mapping[str, Any]], runs: Mapping[Key, Run], reuse: float | None
) -> Key | None:
    """
    Return the rule with the most successes at a requested reuse, None where there is none.

    Rules are ranked over the seeds that all of them have; of equals the first is taken.
    """
    rules = [k for k, entry in definitions.items() if entry['gate'] in RULES and k[1] == reuse]
    if not rules:
        return None
    common = set.intersection(*(set(runs[key]) for key in rules))
    return max(rules, key=lambda key: sum(runs[key][seed].episode.success for seed in common))


def trained_pairs(
    definitions: Mapping[Key, Mapping[str, Any]], runs: Mapping[Key, Run]
) -> list[dict[str, Any]]:
    """Return how each trained gate differs from each before it, over the seeds both have."""
    trained = [k for k, entry in definitions.items() if entry['gate'] not in (DENSE, *RULES)]
    pairs = (
        (one, other, paired(runs[one], runs[other])) for one, other in combinations(trained, 2)
    )
    return [
        {'entry': entry_name(*other), 'reference': entry_name(*one), **pair}
        for one, other, pair in pairs
        if pair
    ]


def token_ages(episodes: Sequence[Episode]) -> dict[str, Any] | None:
    """Return mean, p95 and maximum age of the visual tokens in inferences, None if unknown."""
    counts = np.zeros(max(len(episode.age_counts) for episode in episodes), dtype=np.int64)
    for episode in episodes:
        counts[: len(episode.age_counts)] += episode.age_counts
    if not counts.sum():
        return None
    ages = np.arange(counts.size)
    return {
        'mean': float((ages * counts).sum() / counts.sum()),
        'p95': int(np.searchsorted(counts.cumsum(), 0.95 * counts.sum())),
        'max': int(ages[counts > 0].max()),
    }


def processes(records: Sequence[Record]) -> dict[str, int]:
    """Return how many processes ran the episodes, and how many of them at the same time."""
    spans: dict[str, tuple[float, float]] = {}
    for record in records:
        began, ended = spans.get(record.run, (record.began, record.ended))
        spans[record.run] = min(began, record.began), max(ended, record.ended)
    overlaps = (sum(b <= began <= e for b, e in spans.values()) for began, _ in spans.values())
    return {'total': len(spans), 'at_once': max(overlaps)}


def seed_ranges(seeds: Iterable[int]) -> list[list[int]]:
    """Return seeds as [first, last] ranges without gaps."""
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ranges


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
