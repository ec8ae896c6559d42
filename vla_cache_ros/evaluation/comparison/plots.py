# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw success against latency and against reuse, with the intervals of success.

Latency is drawn relative to dense in the same run: milliseconds of runs at different times, when
the machine was busy with other things, do not belong on one axis. Lays out figures and computes
none. The same figures give the same files, byte by byte.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from vla_cache_ros.evaluation.comparison.entries import DENSE

_COLORS = (
    '#2b7fd4', '#e08a1e', '#3a9d5d', '#c2416b', '#7a5bc2', '#8a6d3b', '#2aa6a6', '#b5b136',
)  # fmt: skip
_DENSE_COLOR = '#6d747c'
_MARKERS = 'osD^vPX*'


def plot_comparison(folder: Path, figures: Mapping[str, Any]) -> list[Path]:
    """
    Write `success_latency` and `success_reuse`, each as SVG and PNG; return the paths.

    An entry that no dense entry ran beside is left out of the first.
    """
    entries = figures['entries']
    dense = [entry for entry in entries if entry['name'] == figures['reference']]
    milliseconds = f' ({dense[0]["latency_ms"]["total"]["p50"]:.0f} ms)' if dense else ''
    latency = [(1.0, entry) for entry in dense]
    latency += [(e['latency_ratio']['p50'], e) for e in entries if e['latency_ratio']]
    reuse = [(100 * entry['reuse_mean'], entry) for entry in entries]
    styles = _styles(entries)
    return [
        *save_figure(
            folder / 'success_latency',
            _draw(
                latency,
                styles,
                f'observation to action, p50, relative to dense{milliseconds} in the same run',
                name_reuse=True,
            ),
        ),
        *save_figure(
            folder / 'success_reuse',
            _draw(reuse, styles, 'mean reuse, full refreshes included, %', name_reuse=False),
        ),
    ]


def _styles(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return color and marker of each label, the same in both plots."""
    gates = {entry['label']: entry['gate'] for entry in entries}
    return {
        label: (
            _DENSE_COLOR if gate == DENSE else _COLORS[index % len(_COLORS)],
            _MARKERS[(index + index // len(_COLORS)) % len(_MARKERS)],  # no pair comes twice
        )
        for index, (label, gate) in enumerate(gates.items())
    }


def _draw(
    points: Sequence[tuple[float, Mapping[str, Any]]],
    styles: Mapping[str, tuple[str, str]],
    x_label: str,
    name_reuse: bool,
) -> Figure:
    lines: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
    for x, entry in points:
        lines.setdefault(entry['label'], []).append((x, entry))
    figure = Figure(figsize=(8, 4.8), layout='constrained')
    axes = figure.subplots()
    for label, line in lines.items():
        line.sort(key=lambda point: point[1]['requested_reuse'] or 0.0)
        color, marker = styles[label]
        x = [value for value, _ in line]
        y = [100 * entry['success_rate'] for _, entry in line]
        low, high = zip(*(entry['success_ci95'] for _, entry in line), strict=True)
        errors = [
            [rate - 100 * bound for rate, bound in zip(y, low, strict=True)],
            [100 * bound - rate for rate, bound in zip(y, high, strict=True)],
        ]
        axes.errorbar(
            x, y, errors, label=label, color=color, marker=marker, markersize=5.5,
            linewidth=1.3, elinewidth=0.8, capsize=2.5, zorder=3,
        )  # fmt: skip
        for value, entry in line:
            if name_reuse and entry['requested_reuse'] is not None:
                axes.annotate(
                    f'{100 * entry["requested_reuse"]:g} %',
                    (value, 100 * entry['success_rate']),
                    xytext=(4, 4),
                    textcoords='offset points',
                    fontsize=7,
                    color=color,
                )
        if color == _DENSE_COLOR:
            axes.axhline(y[0], color=color, linewidth=0.8, linestyle='--', zorder=1)
    axes.set(xlabel=x_label, ylabel='success, % (bars: 95 % Wilson interval)')
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    if lines:
        figure.legend(frameon=False, loc='outside lower center', ncols=min(4, len(lines)))
    return figure


def save_figure(stem: Path, figure: Figure) -> list[Path]:
    """Write a figure as SVG and PNG, the same bytes for the same figure; return the paths."""
    paths = [stem.with_suffix('.svg'), stem.with_suffix('.png')]
    with rc_context({'svg.hashsalt': 'vla_cache_ros'}):
        figure.savefig(paths[0], metadata={'Date': None})
        figure.savefig(paths[1], dpi=150)
    return paths
