# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out the figures of a training on bags: one self-contained page, and a few lines of text.

Computes nothing and knows no model: everything is in the figures that report.json holds.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from vla_cache_ros.reports import page
from vla_cache_ros.reports import tables
from vla_cache_ros.reports.plots import line_plot
from vla_cache_ros.reports.plots import Plot
from vla_cache_ros.reports.tables import Table

FEW = 20  # episodes below which the page warns
_COLUMNS = (
    'gate', 'reuse, %', 'mean', 'median', 'p90', 'weighed', 'apart, mm, mean', 'p90', 'steps',
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """Hold a table with its title and a caption that says what stands in it."""

    title: str
    table: Table
    caption: str


def write_page(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the page of a training."""
    machine = figures['hardware']
    page.write_page(
        path,
        'training/gate_report.html',
        title='A gate trained on your bags',
        lead=verdict(figures),
        parameter=figures['parameter'],
        sections=[_gates(figures), _episodes(figures), _bags(figures)],
        plots=[_reuse_plot(figures), _curve(figures)],
        footer=[
            f'command: {figures["command"]}',
            f'model: {figures["checkpoint"]}, fingerprint {figures["fingerprint"][:12]}; '
            f'seed {figures["training"]["seed"]}; recordings {figures["digest"]}',
            'settings: ' + ', '.join(f'{k} {v}' for k, v in figures['training'].items()),
            'time: ' + ', '.join(f'{k} {v:.0f} s' for k, v in figures['seconds'].items())
            + f'; {figures["processes"]} process(es)',
            ', '.join(f'{k} {v}' for k, v in machine.items() if v is not None),
            ', '.join(f'{k} {v}' for k, v in figures['versions'].items()),
        ],
    )  # fmt: skip


def verdict(figures: Mapping[str, Any]) -> str:
    """Return in a few sentences what came of it."""
    reuse = figures['default_reuse']
    means = {name: _at(line, reuse) for name, line in _lines(figures).items()}
    after = means.pop('after')
    against = [
        f'{100 * (1 - after / mean):.0f} % below the {name}' if after < mean else
        f'{100 * (after / mean - 1):.0f} % ABOVE the {name}'
        for name, mean in _named(means).items()
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
    return f'{tables.as_text(_gates(figures).table)}\n\n{verdict(figures)}'


def _gates(figures: Mapping[str, Any]) -> Section:
    rows = [
        (
            row['gate'],
            f'{100 * row["reused"]:.1f}',
            *(f'{row[name]:.4f}' for name in ('mean', 'median', 'p90', 'weighed')),
            f'{row["displacement"]["mean"]:.1f}',
            f'{row["displacement"]["p90"]:.1f}',
            str(row['steps']),
        )
        for row in figures['rows']
    ]
    return Section(
        'Distance of the executed actions to the dense model',
        Table(_COLUMNS, rows),
        'Held-out episodes only. Mean absolute difference of the normalised actions per cached '
        'step; weighed counts more where the arm is slow. Apart: how far the commanded positions '
        "are from dense ones after the executed actions, if the model's actions are in m. "
        'Before is the gate that ships with the checkpoint. Every gate is asked for the same mean '
        'reuse, calibrated on these same episodes, and sees the first step of an episode whole. '
        'What came about differs a little: the sentence above is between the rows, at one reuse.',
    )


def _episodes(figures: Mapping[str, Any]) -> Section:
    names = list(figures['episodes'][0]['distance'])
    rows = [
        (e['instruction'], str(e['steps']), *(f'{e["distance"][name]:.4f}' for name in names))
        for e in figures['episodes']
    ]
    return Section(
        f'Held-out episodes at {100 * figures["default_reuse"]:.0f} %',
        Table(('instruction', 'steps', *names), rows),
        'Mean distance of each. Steps of an episode are those of all its walks.',
    )


def _bags(figures: Mapping[str, Any]) -> Section:
    rows = [
        (
            bag['bag'], str(bag['episodes']), str(bag['too_short']), str(bag['frames']),
            bag['damage'] or 'none',
        )
        for bag in figures['bags']
    ]  # fmt: skip
    columns = ('bag', 'episodes', 'too short', 'frames', 'damage')
    total = figures['training_episodes'] + figures['held_out_episodes']
    return Section(
        'Bags',
        Table(columns, rows),
        f'The last {figures["held_out_episodes"]} of {total} episodes are held out, each with all '
        f'its walks: one every {figures["period"]:g} s, begun at {figures["offsets"]} places '
        'within that time.',
    )


def _reuse_plot(figures: Mapping[str, Any]) -> Plot:
    lines = {
        name: ([100 * reuse for reuse, _ in line], [mean for _, mean in line])
        for name, line in _lines(figures).items()
    }
    return line_plot(
        'Distance against reuse',
        'Lower is nearer to the dense model. Each line is one gate on the held-out episodes.',
        lines, 'reuse of the cached steps, %', 'mean distance',
    )  # fmt: skip


def _lines(figures: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Return (reuse that came about, mean distance) of each gate, rising."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in figures['rows']:
        if row['requested']:
            lines.setdefault(row['gate'], []).append((row['reused'], row['mean']))
    return {name: sorted(line) for name, line in lines.items()}


def _at(line: Sequence[tuple[float, float]], reuse: float) -> float:
    """Return the distance at a reuse, between the two that were measured beside it."""
    return float(np.interp(reuse, *zip(*line, strict=True)))


def _curve(figures: Mapping[str, Any]) -> Plot:
    rows: Sequence[Mapping[str, float]] = figures['curve']
    updates = [row['update'] for row in rows]
    covered = [100 * row['covered'] for row in rows]
    return line_plot(
        'Training',
        'Share of the effects of stale tokens that lies in the 30 % of the tokens which the gate '
        'scores highest, on training episodes.',
        {'covered': (updates, covered)}, 'update', '%',
    )  # fmt: skip


def _named(means: Mapping[str, float]) -> dict[str, float]:
    """Return the means by names that fit into a sentence."""
    names = {'before': 'gate before it'}
    return {names.get(name, name): mean for name, mean in means.items()}
