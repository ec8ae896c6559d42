# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw success against latency and against reuse, with the intervals of success.

Latency is drawn relative to dense in the same run: milliseconds of runs at different times, when
the machine was busy with other things, do not belong on one axis. Lays out figures and computes
none.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
import numpy as np
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.reports.plots import COLORS
from vla_cache_ros.reports.plots import save_figure

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
    label = f'observation to action, p50, relative to dense{milliseconds} in the same run'
    by_latency = _draw(latency, styles, label, name_reuse=True)
    by_reuse = _draw(reuse, styles, 'mean reuse, full refreshes included, %', name_reuse=False)
    return [
        *save_figure(folder / 'success_latency', by_latency),
        *save_figure(folder / 'success_reuse', by_reuse),
    ]


def _styles(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return color and marker of each label, the same in both plots."""
    gates = {entry['label']: entry['gate'] for entry in entries}
    return {
        label: (
            _DENSE_COLOR if gate == DENSE else COLORS[index % len(COLORS)],
            _MARKERS[(index + index // len(COLORS)) % len(_MARKERS)],  # no pair comes twice
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
        y = np.array([100 * entry['success_rate'] for _, entry in line])
        errors = np.abs(100 * np.transpose([entry['success_ci95'] for _, entry in line]) - y)
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
