# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draw in one style, and save so that the same figures give the same files, byte by byte."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import io
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY, BLUE, ORANGE, GREEN = '#9aa0a8', '#2b7fd4', '#e08a1e', '#3a9d5d'
COLORS = (BLUE, ORANGE, GREEN, '#c2416b', '#7a5bc2', '#8a6d3b', '#2aa6a6', '#b5b136')


@dataclass(frozen=True)
class Plot:
    """Hold one figure as SVG, with its title and a caption that says what to see in it."""

    title: str
    caption: str
    svg: str


def line_plot(
    title: str,
    caption: str,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
) -> Plot:
    """Draw named lines, each (x values, y values), from zero upwards; the first one in grey."""
    figure = Figure(figsize=(9, 2.8), layout='constrained')
    axes = figure.subplots()
    for (name, (x, y)), color in zip(lines.items(), (GREY, *COLORS), strict=False):
        axes.plot(x, y, label=name, color=color, linewidth=1.4)
    axes.set(xlabel=x_label, ylabel=y_label)
    tidy(axes)
    axes.legend(frameon=False, loc='upper right', ncols=len(lines))
    return Plot(title, caption, svg(figure))


def tidy(axes: Axes) -> None:
    """Begin at zero, with a faint grid and no frame above and to the right."""
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element that an HTML page can hold."""
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg')
    text = buffer.getvalue()
    return text[text.index('<svg') :]  # without the XML prologue


def save_figure(stem: Path, figure: Figure) -> list[Path]:
    """Write a figure as SVG and PNG; return the paths."""
    paths = [stem.with_suffix('.svg'), stem.with_suffix('.png')]
    with rc_context({'svg.hashsalt': 'vla_cache_ros'}):
        figure.savefig(paths[0], metadata={'Date': None})
        figure.savefig(paths[1], dpi=150)
    return paths
