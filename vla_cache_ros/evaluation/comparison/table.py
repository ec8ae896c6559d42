# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say in Markdown what a comparison came to. Computes no figure."""

from collections.abc import Mapping
from typing import Any

from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.solved_time import solved_text
from vla_cache_ros.reports.tables import Table


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
    trained = [[p['entry'], p['reference'], *_pair(p)] for p in figures['trained_pairs']]
    tables = [Table.of([*map(_cells, entries)]), Table(columns, compared)]
    if trained:
        tables.append(Table(['trained gate', 'to', *pairs], trained))
    return '\n\n'.join([*(table.markdown() for table in tables), note])


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
