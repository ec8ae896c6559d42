# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out one record of a benchmark book in Markdown, for the book and for `vla-cache paper`.

Formats what a record holds and computes no figure.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import re
import textwrap
from typing import Any

from vla_cache_ros.evaluation.paper_records import BENCH

WIDTH = 99
_OPTIONS = re.compile(r' (?=--|\w+:=)')


def section(record: Mapping[str, Any]) -> str:
    """Return a record as a section of the book: heading, table, circumstances, command."""
    parts = [f'## {title(record)}', record_table(record), circumstances(record)]
    return '\n\n'.join([*parts, command_block(record['command'])])


def title(record: Mapping[str, Any]) -> str:
    """Return what was measured, in a few words."""
    if record['kind'] == BENCH:
        weights = ', random weights' if record['random_weights'] else ''
        return f'{record["added"]}: {record["checkpoint"]}{weights}, {record["device"]}, time'
    return (
        f'{record["added"]}: checkpoint {record["checkpoint"]}, environment {record["env"]}, '
        f'{record["device"]}'
    )


def record_table(record: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the rows of a record, or those given, as a table."""
    rows = rows or record['rows']
    return _times(rows) if record['kind'] == BENCH else _successes(rows)


def circumstances(record: Mapping[str, Any]) -> str:
    """Return under what a record was measured, as one paragraph."""
    return wrap(
        f'Commit: {record["commit"]}; {machines(record)}; {record["dtype"]} on '
        f'{record["device"]}; {versions(record)}; {seeds(record)}. From '
        f'`{record["source"]["name"]}`.'
    )


def machines(record: Mapping[str, Any]) -> str:
    """Return the hardware of a record, in words."""
    found = []
    for machine in record['hardware']:
        gpu = f', {machine["gpu"]}' if machine.get('gpu') else ', no GPU'
        found.append(
            f'{machine.get("cpu")}, {machine.get("cores")} cores, torch threads '
            f'{machine.get("torch_threads")}{gpu}'
        )
    if record.get('processes'):
        found.append(f'{record["processes"]} processes at once')
    return '; '.join(found) or 'hardware not recorded'


def versions(record: Mapping[str, Any]) -> str:
    """Return the versions that shape a figure; what the environment itself said comes first."""
    found = dict(record.get('facts') or {})
    for listed in record['versions']:
        for name in ('mujoco', 'torch', 'transformers', 'vla_cache_ros'):
            if name in listed:
                found.setdefault(name, listed[name])
    return ', '.join(f'{name} {value}' for name, value in found.items()) or 'versions not recorded'


def seeds(record: Mapping[str, Any]) -> str:
    """Return the seeds of a record, or of the observations that a benchmark was timed on."""
    if record['kind'] == BENCH:
        return f'{record["steps"]} timed steps a variant, seed {record["seeds"][0]}'
    return 'seeds {:,} to {:,}'.format(*record['seeds'])


def success(row: Mapping[str, Any]) -> str:
    """Return a success in percent with its interval, such as `84.4 (81 to 87)`."""
    low, high = row['success_ci95']
    share = 100 * row['successes'] / row['episodes']
    return f'{share:.1f} ({100 * low:.1f} to {100 * high:.1f})'


def milliseconds(value: float | None) -> str:
    """Return a time with three or four digits that count."""
    if value is None:
        return ''
    return f'{value:,.0f}' if value >= 1000 else f'{value:.1f}'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also line up in a terminal."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    lines = ['| ' + ' | '.join(map(str.ljust, row, widths)) + ' |' for row in cells]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def wrap(text: str, indent: str = '') -> str:
    """Return a paragraph in lines that a terminal holds; words such as paths stay whole."""
    return textwrap.fill(
        text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def command_block(command: str) -> str:
    """Return a command as a block to copy, continued over lines between its options."""
    return f'```\n{continued(command)}\n```'


def continued(command: str) -> str:
    """Return a command in lines that a terminal holds, none of which begins with a value."""
    lines = ['']
    for option in _OPTIONS.split(command):
        if lines[-1] and len(lines[-1]) + len(option) > WIDTH - 6:
            lines.append('')
        lines[-1] += f'{option} '
    return ' \\\n  '.join(line.strip() for line in lines)


def _successes(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ['gate', 'success % (95 %)', 'n', 'reuse %', 'p50 ms', 'p95 ms', 'x dense']
    head += ['to dense, points (95 %)', 'pairs']
    return table(head, [_success_cells(row) for row in rows])


def _success_cells(row: Mapping[str, Any]) -> list[str]:
    ratio, pair = row['ratio'], row['against_dense']
    points = ''
    if pair:
        low, high = (100 * bound for bound in pair['success_difference_ci95'])
        points = f'{100 * pair["success_difference"]:+.1f} ({low:+.1f} to {high:+.1f})'
    return [
        row['name'],
        success(row),
        str(row['episodes']),
        percent(row['reuse_mean']),
        milliseconds(row['total_ms']['p50']),
        milliseconds(row['total_ms']['p95']),
        f'{ratio["p50"]:.2f}' if ratio else '',
        points,
        str(pair['episodes']) if pair else '',
    ]


def _times(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ['variant', 'reuse %', 'prefill ms', 'x dense', 'whole step ms', 'x dense', 'x hf']
    return table(head, [_time_cells(row) for row in rows])


def _time_cells(row: Mapping[str, Any]) -> list[str]:
    ratio = row['ratio']
    return [
        row['name'],
        percent(row['reuse_mean']),
        milliseconds(row['decoder_ms']['p50']),
        f'{ratio["decoder"]:.2f}' if ratio else '',
        milliseconds(row['total_ms']['p50']),
        f'{ratio["total"]:.2f}' if ratio else '',
        f'{row["ratio_to_hf"]:.2f}',
    ]


def percent(share: float | None) -> str:
    """Return a share as percent, empty where there is none."""
    return '' if share is None else f'{100 * share:.1f}'
