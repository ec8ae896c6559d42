# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out what caching saves of a step's time: the published ratio, and ours of every benchmark.

Times of different machines do not compare, so ratios stand beside the published one, with the
whole step beside the prefill, which is what a robot waits for.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from vla_cache_ros.evaluation import paper_rows
from vla_cache_ros.evaluation import paper_tables
from vla_cache_ros.evaluation.paper_records import BENCH
from vla_cache_ros.evaluation.paper_sections import command_block
from vla_cache_ros.evaluation.paper_sections import machines
from vla_cache_ros.evaluation.paper_sections import milliseconds
from vla_cache_ros.evaluation.paper_sections import percent
from vla_cache_ros.evaluation.paper_sections import table
from vla_cache_ros.evaluation.paper_sections import versions
from vla_cache_ros.evaluation.paper_sections import wrap

_HEAD = ['', 'reuse %', 'prefill ms dense', 'cached', 'ratio', 'step ms dense', 'cached', 'ratio']
_REMARK = (
    'The ratios alone compare, and they with care: another machine than that of the paper, '
    'another share of reuse (column 2; the published TFLOPs imply 28 to 34 %), and where it says '
    'so random weights, which change no time at a fixed share. `step` is from observation in to '
    'action out, with preprocessing, gate, towers and decoding; the paper gives none, and its '
    'saving would be at most 1.1 of one (see LIBERO above). `jacobi` carries a guess of the '
    'action tokens along with the prefill. Dense and cached of one line decode alike and took '
    'turns in one process.'
)


def times(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the parts of the section, published first, and the command where no GPU has run."""
    benches = [record for record in records if record['kind'] == BENCH]
    rows = [_published(method) for method in ('LAC', 'VLA-Cache')]
    for number, record in enumerate(benches, 1):
        rows += _rows(record, number)
    measured = any(
        record['checkpoint'] == paper_rows.TIME_SHAPE and record['device'].startswith('cuda')
        for record in benches
    )
    if not measured:
        rows.append([f'ours, {paper_rows.TIME_SHAPE} on a GPU', *['open, 1'] * (len(_HEAD) - 1)])
    parts = ['## What caching saves of the time of a step', table(_HEAD, rows), wrap(_REMARK)]
    notes = [_note(record, number) for number, record in enumerate(benches, 1)]
    parts += ['\n'.join(notes)] if notes else []
    if not measured:
        parts += [
            wrap(f'Command 1. {paper_rows.TIME_COST} Leaves {paper_rows.TIME_RESULT}.'),
            command_block(paper_rows.TIME_COMMAND),
        ]
    return parts


def _published(method: str) -> list[str]:
    figures = paper_tables.LIBERO
    dense, cached = (figures.value(row, 'CUDA ms') for row in ('OpenVLA dense', method))
    return [
        f'{method}, published, OpenVLA-7B',
        'not given',
        f'{dense:.2f}',
        f'{cached:.2f}',
        f'{paper_tables.speed_up(method):.2f}',
        *['-'] * 3,
    ]


def _rows(record: Mapping[str, Any], number: int) -> Iterator[list[str]]:
    for row in record['rows']:
        if not row['reuse_mean'] or row['ratio'] is None:
            continue
        cells = [
            f'ours [{number}] {record["checkpoint"]}, {row["name"]}',
            percent(row['reuse_mean']),
        ]
        for stage in ('decoder', 'total'):
            cached, ratio = row[f'{stage}_ms']['p50'], row['ratio'][stage]
            cells += [milliseconds(cached * ratio), milliseconds(cached), f'{ratio:.2f}']
        yield cells


def _note(record: Mapping[str, Any], number: int) -> str:
    weights = 'random weights of its sizes' if record['random_weights'] else 'its own weights'
    return wrap(
        f'- [{number}] {record["checkpoint"]}, {weights}: {record["dtype"]} on '
        f'{record["device"]}, {machines(record)}; {versions(record)}; {record["steps"]} timed '
        f'steps a variant; commit {record["commit"]}.',
        '  ',
    )
