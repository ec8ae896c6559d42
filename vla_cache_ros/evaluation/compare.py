# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare gates fairly: the same seeds, in one process, taking turns episode by episode.

Taking turns lets whatever else the machine does fall on all gates alike, so that latency ratios
hold. The first gate is the reference. Knows no model and no gate beyond its name.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.evaluation.closed_loop import Actor
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.evaluation.statistics import mcnemar
from vla_cache_ros.evaluation.statistics import paired_bootstrap_difference


def take_turns(
    policies: Mapping[str, Actor], env: Any, seeds: Sequence[int], execute_steps: int = 4
) -> dict[str, list[Episode]]:
    """Run every policy on every seed, one episode each in turn."""
    episodes: dict[str, list[Episode]] = {name: [] for name in policies}
    with tqdm(seeds, unit='seed') as bar:
        for seed in bar:
            for name, policy in policies.items():
                episodes[name].append(run_episode(policy, env, seed, execute_steps))
            done = (f'{n} {sum(e.success for e in es)}' for n, es in episodes.items())
            bar.set_postfix_str(', '.join(done))
    return episodes


def paired(reference: Sequence[Episode], other: Sequence[Episode]) -> dict[str, Any]:
    """
    Return how another gate differs from the reference on the same seeds.

    success_difference and its bootstrap interval (other minus reference, share of episodes),
    McNemar's exact p, and the ratio of total latency at p50 and p95 (below 1 is faster).
    """
    before = [episode.success for episode in reference]
    after = [episode.success for episode in other]
    difference, low, high = paired_bootstrap_difference(after, before)
    totals = [
        [stages['total'] for episode in run for stages in episode.latency_ms]
        for run in (reference, other)
    ]
    return {
        'success_difference': difference,
        'success_difference_ci95': [low, high],
        'mcnemar_p': mcnemar(after, before)[2],
        'latency_ratio': {
            f'p{q}': float(np.percentile(totals[1], q) / np.percentile(totals[0], q))
            for q in (50, 95)
        },
    }


def run_compare(
    checkpoint: str,
    gates: Sequence[str],
    reuse: float | None,
    episodes: int,
    seed: int,
    json_path: Path | None = None,
) -> dict[str, Any]:
    """
    Compare gates with the first of them on the embedded robot; print and write the figures.

    Raises ValueError for fewer than two gates or an unknown one.
    """
    if len(gates) < 2:
        raise ValueError(f'gates: expected at least 2, got {len(gates)}')
    from vla_cache_ros.policy import Policy
    from vla_cache_ros.simulation.tabletop import EXECUTE_STEPS
    from vla_cache_ros.simulation.tabletop import Tabletop

    policies = {
        gate: Policy.from_pretrained(checkpoint, gate=gate, reuse=reuse, seed=seed)
        for gate in gates
    }
    env = Tabletop()
    for policy in policies.values():  # what a first call allocates counts for no gate
        policy.act(env.reset(seed))
    try:
        runs = take_turns(policies, env, range(seed, seed + episodes), EXECUTE_STEPS)
    finally:
        env.close()
    reference = gates[0]
    figures = {
        'reference': reference,
        'gates': {
            gate: summarize(
                run,
                gate,
                reuse=reuse,
                seed=seed,
                checkpoint=checkpoint,
            )
            for gate, run in runs.items()
        },
        'paired': {g: paired(runs[reference], runs[g]) for g in gates if g != reference},
    }
    if json_path is not None:
        write_json(json_path, figures)
    print(table(figures))
    return figures


def table(figures: Mapping[str, Any]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [
        '| gate | success | 95 % interval | reuse | p50 ms | p95 ms | p50 ratio | p95 ratio '
        '| difference in points (95 %) | McNemar p |',
        '|---|---|---|---|---|---|---|---|---|---|',
    ]
    for gate, run in figures['gates'].items():
        low, high = (100 * v for v in run['success_ci95'])
        total = run['latency_ms']['total']
        cells = [
            gate,
            f'{run["successes"]} of {run["episodes"]}',
            f'{low:.1f} to {high:.1f} %',
            f'{100 * run["reuse_mean"]:.1f} %',
            f'{total["p50"]:.1f}',
            f'{total["p95"]:.1f}',
        ]
        if gate in figures['paired']:
            pair = figures['paired'][gate]
            low, high = (100 * v for v in pair['success_difference_ci95'])
            cells += [
                f'{pair["latency_ratio"]["p50"]:.2f}',
                f'{pair["latency_ratio"]["p95"]:.2f}',
                f'{100 * pair["success_difference"]:+.1f} ({low:+.1f} to {high:+.1f})',
                f'{pair["mcnemar_p"]:.2f}',
            ]
        else:
            cells += ['1', '1', '', '']
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)
