# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out the paper's tables in Markdown, with our rows beside the published ones.

Joins published figures, records and plans. A place of ours holds a measured figure or the number
of the command that fills it, and every measured figure has a line that says what differs.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from vla_cache_ros.evaluation import paper_rows
from vla_cache_ros.evaluation import paper_tables
from vla_cache_ros.evaluation.paper_records import BENCH
from vla_cache_ros.evaluation.paper_records import EVALUATION
from vla_cache_ros.evaluation.paper_rows import find
from vla_cache_ros.evaluation.paper_rows import Measured
from vla_cache_ros.evaluation.paper_rows import Plan
from vla_cache_ros.evaluation.paper_rows import plans_of
from vla_cache_ros.evaluation.paper_rows import Row
from vla_cache_ros.evaluation.paper_sections import circumstances
from vla_cache_ros.evaluation.paper_sections import command_block
from vla_cache_ros.evaluation.paper_sections import continued
from vla_cache_ros.evaluation.paper_sections import machines
from vla_cache_ros.evaluation.paper_sections import milliseconds
from vla_cache_ros.evaluation.paper_sections import percent
from vla_cache_ros.evaluation.paper_sections import record_table
from vla_cache_ros.evaluation.paper_sections import seeds
from vla_cache_ros.evaluation.paper_sections import table
from vla_cache_ros.evaluation.paper_sections import title
from vla_cache_ros.evaluation.paper_sections import versions
from vla_cache_ros.evaluation.paper_sections import wrap
from vla_cache_ros.evaluation.paper_times import times

Records = Sequence[Mapping[str, Any]]
_PLAIN = ('dense', 'random', 'motion', 'vla-cache', 'every', 'learned', 'learned-fixed')
_DIFFERS = (
    'Ours differ from the published rows in hardware, in the version of MuJoCo (which changes '
    'physics; the paper states none), in the gate and in how time is taken; n and seeds are those '
    'of the lines below. The paper gives no interval: at n = 500 it would be about 3 points to '
    'either side.'
)
_OPEN = 'open'
_WITHDRAWN = '**Withdrawn'  # how what is written below such a section begins
_COSTS = ('command', 'fills', 'download', 'GPU memory', 'hours at most', 'which are')


def page(records: Records, book: str) -> str:
    """Return all tables; book: the name of the file that the records come from."""
    standing = [r for r in records if not r.get('remark', '').startswith(_WITHDRAWN)]
    parts = [
        '# The paper, published and measured',
        wrap(
            f'Published: {paper_tables.SOURCE}, as printed there. Ours: {len(records)} records of '
            f'{book}. `open, N`: not measured; command N below the table fills it and leaves '
            'compare.json in its folder, which `vla-cache paper --add` takes. In brackets: 95 % '
            'Wilson interval.'
        ),
        wrap(paper_rows.ASSUMED),
        wrap(paper_rows.GATE_NOTE),
        *_libero(standing),
        *_oft(standing),
        *_simpler(standing),
        *_franka(),
        *_ablation(standing),
        *times(standing),
        *_others(records, standing),
    ]
    return '\n\n'.join(parts)


def _libero(records: Records) -> list[str]:
    published, plans = paper_tables.LIBERO, plans_of('libero')
    rows = _published(published)
    for row in paper_rows.GATES:
        cells, found = _places(records, plans, row)
        reuse = [m.row['reuse_mean'] for m in found if m.row['reuse_mean'] is not None]
        macs = (
            paper_tables.prefill_macs(
                paper_tables.PREFILL_ROWS - paper_tables.VISUAL_TOKENS * sum(reuse) / len(reuse)
            )
            if reuse
            else None
        )
        cells += [_average(found, plans), f'{macs:.3f}' if macs else _OPEN]
        cells.append(_stage(found, 'decoder_ms'))
        rows.append([row.name, *cells])
    ours = (
        'TFLOPs of ours: the same formula at the measured reuse, mean over the suites. "CUDA ms" '
        'of ours: p50 of the same stage, wall clock, mean over the suites, on the hardware named '
        'below.'
    )
    return [
        *_head(published.title),
        table(['', *published.columns], rows),
        *map(wrap, (*published.remarks, ours)),
        *_below(records, plans, _DIFFERS),
    ]


def _oft(records: Records) -> list[str]:
    lead = (
        'Two cameras, chunks of eight actions. The paper has no row for this model, so these '
        'stand beside no published figure.'
    )
    return _ours_alone(records, 'libero-oft', 'LIBERO on OpenVLA-OFT 7B, success in %', lead)


def _simpler(records: Records) -> list[str]:
    published = paper_tables.SIMPLER
    lead = (
        'Carrot on plate, spoon on towel, stacked cubes and eggplant in basket, of ManiSkill3: '
        'other tasks than those of the table above, so nothing here compares with it.'
    )
    return [
        *_head(published.title),
        table(['', *published.columns], _published(published)),
        *map(wrap, published.remarks),
        *_ours_alone(
            records, 'simpler-bridge', 'SIMPLER bridge tasks on CogACT, success in %', lead
        ),
    ]


def _franka() -> list[str]:
    published = paper_tables.FRANKA
    rows = [*_published(published), ['ours, on an arm', 'open, 1', 'open, 1']]
    return [
        *_head(published.title),
        table(['', *published.columns], rows),
        *map(wrap, published.remarks),
        wrap(f'Command 1. {paper_rows.FRANKA_COST}'),
        command_block(paper_rows.FRANKA_COMMAND),
    ]


def _ablation(records: Records) -> list[str]:
    published, plans = paper_tables.ABLATION, plans_of('ablation')
    rows = _published(published)
    rows += [[row.name, *_places(records, plans, row)[0]] for row in paper_rows.ABLATED]
    return [
        *_head(published.title),
        table(['', *published.columns], rows),
        *map(wrap, published.remarks),
        *_below(records, plans, _DIFFERS),
    ]


def _others(records: Records, standing: Records) -> list[str]:
    found = [
        record
        for record in records
        if record['kind'] != BENCH and not paper_rows.fills_a_place(standing, record)
    ]
    lead = (
        'Other models and environments, what really ran, each on its own; no published figure '
        'belongs beside them. `x dense` divides medians of seeds that one process ran for both; '
        'points are paired over as many seeds as `pairs` says. Commands are in the book.'
    )
    parts = [*_head('Everything else that was measured'), wrap(lead)]
    for record in found:
        plain = [row for row in record['rows'] if row['label'] in _PLAIN] or record['rows']
        left = len(record['rows']) - len(plain)
        parts += [f'### {title(record)}', record_table(record, plain)]
        if left:
            parts.append(f'{left} more entries of this run are in the book.')
        parts.append(circumstances(record))
        if 'remark' in record:
            parts.append(wrap(record['remark']))
    return parts if found else [*_head('Everything else that was measured'), 'Nothing yet.']


def _ours_alone(records: Records, key: str, name: str, lead: str) -> list[str]:
    plans = plans_of(key)
    columns = [plan.column for plan in plans]
    rows = []
    for row in paper_rows.GATES:
        cells, found = _places(records, plans, row)
        if len(plans) > 1:
            cells.append(_average(found, plans))
        laps = [_stage(found, stage) for stage in ('decoder_ms', 'total_ms')]
        rows.append([row.name, *cells, *laps])
    average = ['avg'] if len(plans) > 1 else []
    return [
        *_head(name),
        table(['', *columns, *average, 'prefill ms', 'whole step ms'], rows),
        wrap(lead),
        *_below(records, plans, ''),
    ]


def _places(records: Records, plans: Sequence[Plan], row: Row) -> tuple[list[str], list[Measured]]:
    """Return a row's cells, one a plan, and what was measured of them."""
    cells, found = [], []
    for number, plan in enumerate(plans, 1):
        measured = find(records, plan, row)
        if measured is None:
            cells.append(f'{_OPEN}, {number}')
            continue
        low, high = (100 * bound for bound in measured.row['success_ci95'])
        share = 100 * measured.row['successes'] / measured.row['episodes']
        cells.append(f'{share:.1f} ({low:.0f} to {high:.0f})')
        found.append(measured)
    return cells, found


def _average(found: Sequence[Measured], plans: Sequence[Plan]) -> str:
    if len(found) < len(plans):
        return _OPEN
    shares = [m.row['successes'] / m.row['episodes'] for m in found]
    return f'{100 * sum(shares) / len(shares):.1f}'


def _stage(found: Sequence[Measured], stage: str) -> str:
    if not found:
        return _OPEN
    laps = [m.row[stage]['p50'] for m in found if m.row[stage]['p50'] is not None]
    return milliseconds(sum(laps) / len(laps)) if laps else '-'


def _below(records: Records, plans: Sequence[Plan], differs: str) -> list[str]:
    """Return what goes under a table of ours: what was measured how, and what is to be run."""
    lines, costs, commands = [], [], []
    for number, plan in enumerate(plans, 1):
        measured = [m for m in (find(records, plan, row) for row in plan.rows) if m]
        lines += _measured_lines(plan, measured)
        if len(measured) < len(plan.rows):
            costs.append(_cost(number, plan))
            commands.append(f'# {number}\n{continued(plan.command)}')
    parts = ['\n'.join(lines)] if lines else []
    if lines and differs:
        parts.insert(0, wrap(differs))
    if costs:
        code = '\n'.join(commands)
        parts += [table(_COSTS, costs), f'```\n{code}\n```']
    return parts


def _cost(number: int, plan: Plan) -> list[str]:
    size = 'size unknown' if plan.size is None else f'{plan.size / 1e9:.1f} GB'
    return [
        str(number),
        plan.column,
        size,
        f'{plan.gpu_gb} GB',
        f'{plan.hours():.0f}',
        f'{len(plan.rows)} x {plan.episodes} x ({plan.limit} x {plan.simulator_ms:.0f} ms + '
        f'{plan.inferences} x {paper_rows.INFERENCE_MS:.0f} ms)',
    ]


def _measured_lines(plan: Plan, measured: Sequence[Measured]) -> list[str]:
    lines = []
    for one in measured:
        record, row = one.record, one.row
        paired = '' if record['kind'] != EVALUATION else ', not paired'
        text = (
            f'- {plan.column}, {row["name"]}: n = {row["episodes"]}{paired}, '
            f'{seeds(record)}, reuse {percent(row["reuse_mean"])} %, whole step p50 '
            f'{milliseconds(row["total_ms"]["p50"])} ms, p95 '
            f'{milliseconds(row["total_ms"]["p95"])} ms; {record["dtype"]} on '
            f'{record["device"]}, {machines(record)}; {versions(record)}; commit '
            f'{record["commit"]}. {record.get("remark", "")}'
        )
        lines.append(wrap(text, '  '))
    return lines


def _published(published: paper_tables.PublishedTable) -> list[list[str]]:
    return [
        [
            f'{name}, published',
            *(_figure(c, v) for c, v in zip(published.columns, row, strict=True)),
        ]
        for name, row in published.rows.items()
    ]


def _figure(column: str, value: float) -> str:
    if column.startswith('TFLOPs'):
        return f'{value:.3f}'
    return f'{value:.2f}' if column.startswith('CUDA') else f'{value:.1f}'


def _head(text: str) -> list[str]:
    return [f'## {text}']
