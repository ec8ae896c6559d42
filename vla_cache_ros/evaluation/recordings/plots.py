# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Plot what gates did along recordings: error and reuse over time, error against reuse and age.

Takes the figures of `bag_figures`; computes nothing.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from vla_cache_ros.evaluation.recordings.figures import distance
from vla_cache_ros.reports.plots import COLORS
from vla_cache_ros.reports.plots import Plot
from vla_cache_ros.reports.plots import svg
from vla_cache_ros.reports.plots import tidy

_MANY = 2000  # points above which a plot is drawn as pixels: as curves the page would be slow


def plots(figures: Mapping[str, Any]) -> list[Plot]:
    """Return the plots; none without a gate beside dense."""
    names = [gate['name'] for gate in figures['gates'][1:]]
    if not names:
        return []
    field, unit, _ = distance(figures['gates'][0])
    steps = [step for bag in figures['bags'] for step in bag['steps']]
    begins, count = [], 0
    for bag in figures['bags']:
        for number, episode in enumerate(bag['episodes']):
            begins.append((count, number == 0))
            count += episode['observations']
    return [
        _over_time(
            'Distance to dense', 'How far off the arm would be when it looks again. Grey lines: '
            'a new episode; black: a new bag or part.', steps, names, begins, field, unit,
        ),
        _over_time(
            'Reuse', 'Share of visual tokens from the cache; 0 where everything was recomputed.',
            steps, names, begins, 'reuse', 'reused',
        ),
        _scatter(steps, names, field, unit),
    ]  # fmt: skip


def _over_time(
    title: str,
    caption: str,
    steps: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    begins: Sequence[tuple[int, bool]],
    field: str,
    label: str,
) -> Plot:
    figure = Figure(figsize=(10, 3), layout='constrained')
    axes = figure.subplots()
    for name, color in zip(names, cycle(COLORS), strict=False):
        values = [step['gates'][name][field] for step in steps]
        axes.plot(values, label=name, color=color, linewidth=1.1, rasterized=len(values) > _MANY)
    if len(begins) < 200:
        for begin, bag in begins:
            axes.axvline(begin, color='black' if bag else '#c9ced6', linewidth=0.7, zorder=0)
    axes.set(xlabel='observation, all recordings in a row', ylabel=label)
    _finish(axes)
    return Plot(title, caption, svg(figure))


def _scatter(
    steps: Sequence[Mapping[str, Any]], names: Sequence[str], field: str, unit: str
) -> Plot:
    figure = Figure(figsize=(10, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    for name, color in zip(names, cycle(COLORS), strict=False):
        gates = [step['gates'][name] for step in steps]
        y = [gate[field] for gate in gates]
        for axes, other in ((left, 'reuse'), (right, 'age_mean')):
            x = [gate[other] for gate in gates]
            axes.scatter(
                x, y, s=9, color=color, alpha=0.5, label=name, linewidths=0,
                rasterized=len(x) > _MANY,
            )  # fmt: skip
    left.set(xlabel='reused', ylabel=f'{unit} off')
    right.set(xlabel='mean age of the visual tokens, steps')
    tidy(left)
    _finish(right)
    caption = 'One point an observation. Errors that grow to the right come from what was reused.'
    return Plot('Distance over reuse and age', caption, svg(figure))


def _finish(axes: Axes) -> None:
    tidy(axes)
    axes.legend(frameon=False, loc='lower right', bbox_to_anchor=(1, 1), ncols=4)
