# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write what `make gpu` found as Markdown. Computes no figure."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from vla_cache_ros.evaluation.bench.sessions import sessions_table


def tables(figures: Mapping[str, Any]) -> str:
    """Return the table of every shape, what failed, and the circumstances."""
    checks, hardware, versions = figures['checks'], figures['hardware'], figures['versions']
    where = (
        figures['card'] or f'REHEARSAL on a CPU ({hardware["cpu"]}), toy sizes: times mean nothing'
    )
    parts = [
        f'{where}; torch {versions["torch"]}, transformers {versions["transformers"]}, Python '
        f'{versions["python"]}, commit {versions.get("commit", "unknown")}. Exactness: '
        f'{checks["passed"]} of {checks["of"]} checks passed in {figures["check_seconds"]:.0f} s'
        + (f'; FAILED: {", ".join(checks["failed"])}' if checks['failed'] else '')
        + '.'
    ]
    parts += [_shape(shape) for shape in figures['shapes']]
    parts += [_sessions(*item) for item in figures['sessions'].items()]
    return '\n\n'.join(parts)


def _shape(shape: Mapping[str, Any]) -> str:
    missing = [f'Not measured: {name} ({reason}).' for name, reason in shape['failed'].items()]
    if not shape['entries']:
        return '\n'.join([f'`{shape["shape"]}`: nothing measured.', *missing])
    rows = [_row(entry) for entry in shape['entries']]
    lines = _lines([*rows[0]], [[*row.values()] for row in rows])
    kernels = sorted({name for entry in shape['entries'] for name in entry['attention']})
    notes = [
        f'`{shape["shape"]}`, random weights, {shape["parameters"]:,} parameters, '
        f'{shape["timed_steps"]} timed steps a variant by turns; weights '
        + ', '.join(f'{key} {size:.0f} MiB' for key, size in shape['weights_mib'].items())
        + f'; best rates {shape["gmacs_per_s"]:.0f} GMAC/s, {shape["gbytes_per_s"]:.0f} GB/s.',
        *missing,
    ]
    if shape['bound']:
        found = {entry['name']: entry['times_dense_recorded'] for entry in shape['entries']}
        notes.append(
            f'By these rates 70 % reuse can be {shape["bound"]["at_most"]:.2f} times as fast as '
            f'dense, {shape["bound"]["whole_towers"]:.2f} with the towers whole; found '
            f'{found["learned 70 %"]:.2f}.'
        )
    if kernels:
        notes.append('Attention ran in: ' + ', '.join(f'`{name}`' for name in kernels) + '.')
    return '\n'.join([*lines, '', *notes])


def _sessions(name: str, found: Mapping[str, Any] | str) -> str:
    if isinstance(found, str):
        return f'`{name}`, several sessions: not measured ({found}).'
    table = sessions_table(found)
    return '\n'.join([f'`{name}`, several sessions:', '', *_lines(table.columns, table.rows)])


def _lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table; not with reports.tables: where this runs there may be no tabulate."""
    return ['| ' + ' | '.join(line) + ' |' for line in (columns, ['---'] * len(columns), *rows)]


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    laps, floor, kernels = entry['latency_ms'], entry['floor_ms'], entry['kernels']
    times = {
        'x hf eager': entry['times_hf_eager'],
        'x hf compiled': entry['times_hf_compiled'],
        'x dense recorded': entry['times_dense_recorded'],
    }
    return {
        'variant': entry['name'],
        'p50 ms': f'{laps["total"]["p50"]:.2f}',
        'p95 ms': f'{laps["total"]["p95"]:.2f}',
        'mean ms': f'{entry["mean_ms"]:.2f}',
        **{name: '' if value is None else f'{value:.2f}' for name, value in times.items()},
        'reuse': f'{100 * entry["reuse"]:.1f} %',
        **{
            lap: f'{laps[lap]["p50"]:.2f}'
            for lap in ('vision', 'wait', 'decoder', 'decode', 'gate')
        },
        'x floor': '' if floor is None else f'{laps["total"]["p50"] / floor:.2f}',
        'kernels': '' if kernels is None else str(kernels),
        'added MiB': f'{entry["mib"]:.0f}',
    }
