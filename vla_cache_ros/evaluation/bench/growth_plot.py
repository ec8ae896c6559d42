# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw time against rows as cameras are added, and against the length of an episode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

_COLORS = ('#6d747c', '#2b7fd4', '#e08a1e')


def draw_growth(figures: Mapping[str, Any]) -> Figure:
    """Return both plots beside each other."""
    figure = Figure(figsize=(9.5, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    for name, color in zip(_names(figures['cameras']), _COLORS, strict=False):
        rows = [row for row in figures['cameras'] if row['variant'] == name]
        x, y = [row['rows'] for row in rows], [row['total_ms']['p50'] for row in rows]
        left.plot(x, y, color=color, marker='o', markersize=5, linewidth=1.3, label=name)
        for row, at in zip(rows, zip(x, y, strict=True), strict=True):
            left.annotate(
                f'{row["cameras"]}',
                at,
                xytext=(4, -9),
                textcoords='offset points',
                fontsize=8,
                color=color,
            )
    left.set(xlabel='rows that the decoder computes (numbers: cameras)', ylabel='p50, ms')
    windows = figures['episode']['windows']
    ends = [row['last'] for row in windows]
    cached = [row['total_ms']['p50'] for row in windows]
    right.plot(ends, cached, color=_COLORS[1], marker='o', label='cached')
    dense = [row['dense_ms'] for row in windows]
    right.plot(ends, dense, color=_COLORS[0], marker='o', label='dense, meanwhile')
    right.set(xscale='log', xlabel='steps of one episode', ylabel='p50 of its last half, ms')
    for axes in (left, right):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _names(rows: list[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row['variant'] for row in rows))
