# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn figures, plots and a video into one self-contained HTML page.

Lays out what it is given and computes nothing. The page loads nothing from elsewhere, so it can
be mailed or attached as it is.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
import io
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

_TEMPLATE = Path(__file__).with_name('report.html')
_COLORS = ('#9aa0a8', '#2b7fd4', '#e08a1e', '#3a9d5d')


@dataclass(frozen=True)
class Table:
    """Hold column names and rows of cells that are already formatted."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Hold one figure as SVG, with its title and a caption that says what to see in it."""

    title: str
    caption: str
    svg: str


def line_plot(
    title: str,
    caption: str,
    lines: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
) -> Plot:
    """Draw named lines, each (x values, y values), from zero upwards."""
    figure = Figure(figsize=(9, 2.8), layout='constrained')
    axes = figure.subplots()
    for (name, (x, y)), color in zip(lines.items(), _COLORS * len(lines), strict=False):
        axes.plot(x, y, label=name, color=color, linewidth=1.4)
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc='upper right', ncols=len(lines))
    axes.spines[['top', 'right']].set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format='svg')
    svg = buffer.getvalue()
    return Plot(title, caption, svg[svg.index('<svg') :])  # without the XML prologue


def write_report(
    path: Path,
    title: str,
    lead: str,
    table: Table,
    plots: Sequence[Plot],
    episodes: Table,
    footer: Sequence[str],
    video: Path | None = None,
) -> None:
    """Write the page; the video is embedded, so the page grows by a third over its size."""
    page = render(
        _TEMPLATE,
        title=title,
        lead=lead,
        table=table,
        plots=plots,
        episodes=episodes,
        footer=footer,
        video=base64.b64encode(video.read_bytes()).decode('ascii') if video else '',
    )
    path.write_text(page, encoding='utf-8')


def render(template: Path, **values: object) -> str:
    """Return a template filled with values, which are escaped."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template.read_text(encoding='utf-8')).render(**values)
