# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out the figures of a training on recordings: one self-contained page, and a few lines of text.

Computes nothing and knows no model: everything is in the figures that report.json holds.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from vla_cache_ros.reports import page
from vla_cache_ros.reports.plots import line_plot
from vla_cache_ros.reports.tables import Table

FEW = 20  # episodes below which the page warns
_COLUMNS = ('gate', 'reuse, %', 'mean', 'median', 'p90', 'weighed')
_APART = ('apart, mm, mean', 'p90')  # of actions that are poses


def write_page(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the page of a training."""
    named = list(figures['episodes'][0]['distance'])
    episodes = [
        (e['instruction'], str(e['steps']), *(f'{e["distance"][name]:.4f}' for name in named))
        for e in figures['episodes']
    ]
    bags = [
        (
            b.get('bag') or b['data_set'],
            *(str(b[n]) for n in ('episodes', 'too_short', 'frames')),
            b['damage'] or 'none',
        )
        for b in figures['bags']
    ]
    curve = figures['curve']
    training = [] if not curve else [
        line_plot(
            'Training',
            'Share of the effects of stale tokens that lies in the 30 % of the tokens which '
            'the gate scores highest, on training episodes.',
            {'covered': ([r['update'] for r in curve], [100 * r['covered'] for r in curve])},
            'update',
            '%',
        )
    ]  # fmt: skip
    page.write_page(
        path,
        'training/gate_report.html',
        title='A gate trained on your recordings',
        lead=verdict(figures),
        figures=figures,
        gates=_gates(figures),
        episodes=Table(('instruction', 'steps', *named), episodes),
        bags=Table(('recording', 'episodes', 'too short', 'frames', 'damage'), bags),
        poses=figures['rows'][0]['displacement'] is not None,
        periods=', '.join(dict.fromkeys(f'{b["cadence"]["period"]:g}' for b in figures['bags'])),
        compressions=list(
            dict.fromkeys(b['compression'] for b in figures['bags'] if b.get('compression'))
        ),
        plots=[
            line_plot(
                'Distance against reuse',
                'Lower is nearer to the dense model. Each line is one gate on the held-out '
                'episodes.',
                {
                    name: ([100 * reuse for reuse, _ in line], [mean for _, mean in line])
                    for name, line in _lines(figures).items()
                },
                'reuse of the cached steps, %',
                'mean distance',
            ),
            *training,
        ],
        footer=[
            f'command: {figures["command"]}',
            f'model: {figures["checkpoint"]}, fingerprint {figures["fingerprint"][:12]}; '
            f'seed {figures["training"]["seed"]}; recordings {figures["digest"]}',
            'settings: ' + ', '.join(f'{k} {v}' for k, v in figures['training'].items()),
            'time: ' + ', '.join(f'{k} {v:.0f} s' for k, v in figures['seconds'].items())
            + f'; {figures["processes"]} process(es) on {figures["device"]}',
            ', '.join(f'{k} {v}' for k, v in figures['hardware'].items() if v is not None),
            ', '.join(f'{k} {v}' for k, v in figures['versions'].items()),
        ],
    )  # fmt: skip


def verdict(figures: Mapping[str, Any]) -> str:
    """Return in a few sentences what came of it."""
    reuse = figures['default_reuse']
    # each at this reuse, between the two that were measured beside it
    means = {
        name: float(np.interp(reuse, *zip(*line, strict=True)))
        for name, line in _lines(figures).items()
    }
    after = means.pop('after')
    against = [
        f'{100 * (1 - after / mean):.0f} % below the {name}' if after < mean else
        f'{100 * (after / mean - 1):.0f} % ABOVE the {name}'
        for name, mean in (
            ('gate before it' if name == 'before' else name, mean) for name, mean in means.items()
        )
    ]  # fmt: skip
    episodes = figures['held_out_episodes']
    text = (
        f'On {episodes} held-out episodes, at {100 * reuse:.0f} % reuse, the new gate keeps the '
        f'executed actions {after:.4f} from those of the dense model (normalised, mean): '
        f'{" and ".join(against)}. {figures["training_episodes"]} episodes were trained on.'
    )
    if figures['training_episodes'] + episodes < FEW:
        text += f' With fewer than {FEW} episodes this says little: record more.'
    return text


def as_text(figures: Mapping[str, Any]) -> str:
    """Return the table of gates and the verdict as lines for a terminal."""
    return f'{_gates(figures).text()}\n\n{verdict(figures)}'


def _gates(figures: Mapping[str, Any]) -> Table:
    poses = figures['rows'][0]['displacement'] is not None
    rows = [
        (
            row['gate'],
            f'{100 * row["reused"]:.1f}',
            *(f'{row[name]:.4f}' for name in ('mean', 'median', 'p90', 'weighed')),
            *(f'{row["displacement"][name]:.1f}' for name in ('mean', 'p90') if poses),
            str(row['steps']),
        )
        for row in figures['rows']
    ]
    return Table((*_COLUMNS, *(_APART if poses else ()), 'steps'), rows)


def _lines(figures: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Return (reuse that came about, mean distance) of each gate, rising."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in figures['rows']:
        if row['requested']:
            lines.setdefault(row['gate'], []).append((row['reused'], row['mean']))
    return {name: sorted(line) for name, line in lines.items()}
