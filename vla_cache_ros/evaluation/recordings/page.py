# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out what gates did along recordings as one HTML page that loads nothing from elsewhere.

Formats figures that others computed.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from pathlib import Path
from typing import Any

from vla_cache_ros.evaluation.recordings.figures import distance
from vla_cache_ros.evaluation.recordings.figures import live_lines
from vla_cache_ros.evaluation.recordings.figures import table
from vla_cache_ros.evaluation.recordings.moments import Moment
from vla_cache_ros.evaluation.recordings.plots import plots
from vla_cache_ros.reports import page
from vla_cache_ros.reports.hardware import footer
from vla_cache_ros.reports.tables import Table


def write_page(path: Path, figures: Mapping[str, Any], moments: Sequence[Moment]) -> None:
    """Write the page; moments: the worst ones, worst first."""
    count, processes = len(figures['bags']), figures['processes']
    gates = [gate for gate in figures['gates'] if gate['gate_fingerprint']]
    page.write_page(
        path,
        'evaluation/recordings/report.html',
        title=f'Gates on {count} recording{"s" if count > 1 else ""}',
        figures=figures,
        table=table(figures),
        live=live_lines(figures),
        errors=_errors(figures) if len(figures['gates']) > 1 else None,
        recorded=_recorded(figures) if figures['gates'][0]['recorded'] else None,
        compressions=_compressions(figures),
        refreshes=_refreshes(figures),
        plots=plots(figures),
        episodes=_episodes(figures),
        moments=[_moment(moment) for moment in moments],
        dimensions=list(figures['gates'][0]['action_error']),
        footer=[
            *footer(figures),
            *(
                f'{machine["bags"]} bags: {machine["hardware"]["cpu"]}, GPU: '
                f'{machine["hardware"]["gpu"] or "none"}'
                for machine in figures.get('machines', ())
            ),
            f'{processes} process{"es" if processes > 1 else ""} at a time',
            ', '.join(f'gate {gate["name"]}: {gate["gate_fingerprint"]}' for gate in gates),
        ],
    )


def _errors(figures: Mapping[str, Any]) -> Table:
    return Table.of(
        [
            {
                'gate': gate['name'],
                **{
                    n: f'{d["mean"]:.4f} / {d["p95"]:.4f}' for n, d in gate['action_error'].items()
                },
            }
            for gate in figures['gates'][1:]
        ]
    )


def _recorded(figures: Mapping[str, Any]) -> Table:
    rows = []
    for gate in figures['gates']:
        found = gate['recorded']
        columns = {'normalised': found['action_error_normalized']}
        for name, field in (('mm', 'displacement_mm'), ('degrees', 'displacement_degrees')):
            columns |= {name: found[field]} if found[field] else {}
        columns |= found['action_error']
        cells = {n: f'{d["mean"]:.4f} / {d["p95"]:.4f}' for n, d in columns.items()}
        rows.append({'gate': gate['name'], **cells})
    return Table.of(rows)


def _compressions(figures: Mapping[str, Any]) -> list[str]:
    """Return what compression did to the pictures, each said once."""
    return list(dict.fromkeys(bag['compression'] for bag in figures['bags'] if bag['compression']))


def _refreshes(figures: Mapping[str, Any]) -> list[str]:
    return [
        f'{gate["name"]}: '
        + ', '.join(f'{cause} {count}' for cause, count in gate['refreshes'].items())
        for gate in figures['gates'][1:]
        if gate['refreshes']
    ]


def _episodes(figures: Mapping[str, Any]) -> Table:
    names = [gate['name'] for gate in figures['gates'][1:]]
    field, unit, digits = distance(figures['gates'][0])
    live = 'topics' in figures  # a data set has none
    return Table.of(
        [
            {
                'recording': bag['path'],
                'from, s': episode['source'] or f'{episode["seconds"]:.1f}',
                'instruction': episode['instruction'],
                **({'live gate': episode['live_gate'] or '-'} if live else {}),
                'observations': str(episode['observations']),
                **{f'{n}, {unit}': f'{episode[field][n]:.{digits}f}' for n in names},
                **{f'{name}, reuse': f'{episode["reuse"][name]:.0%}' for name in names},
            }
            for bag in figures['bags']
            for episode in bag['episodes']
        ]
    )


def _moment(moment: Moment) -> dict[str, Any]:
    pairs = []
    for index, (dense, ours) in enumerate(zip(moment.dense, moment.actions, strict=True), 1):
        for name, action in (('dense', dense), (moment.gate, ours)):
            pairs.append([f'{index}', name, *(f'{value:.4f}' for value in action)])
    when = datetime.fromtimestamp(moment.time * 1e-9, UTC)
    off, apart = moment.found, ''
    if off.millimetres is not None:
        apart = f'{off.millimetres:.1f} mm and {off.degrees:.1f}° off, '
    place = f'episode {moment.episode}, {moment.seconds:.1f} s ({when:%Y-%m-%d %H:%M:%S} UTC)'
    return {
        'bag': moment.bag,
        'place': moment.source or place,
        'instruction': moment.instruction,
        'gate': moment.gate,
        'line': f'{apart}{off.reuse:.0%} reused, '
        f'mean age {off.age_mean:.1f} steps, error {off.normalized:.3f}',
        'rows': pairs,
        'picture': page.embedded(moment.picture),
    }
