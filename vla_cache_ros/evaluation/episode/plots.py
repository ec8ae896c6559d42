# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Plot a watched episode over time, and reuse per phase over many episodes, as SVG.

All plots of an episode share the time axis, so that what the arm did stands above what it cost.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
import numpy as np
from vla_cache_ros.environments.tabletop.phase import CONTACT
from vla_cache_ros.environments.tabletop.phase import NEAR
from vla_cache_ros.environments.tabletop.phase import QUIET
from vla_cache_ros.evaluation.closed_loop import STAGES
from vla_cache_ros.evaluation.episode.trace import Trace
from vla_cache_ros.reports.plots import BLUE
from vla_cache_ros.reports.plots import GREEN
from vla_cache_ros.reports.plots import GREY
from vla_cache_ros.reports.plots import ORANGE
from vla_cache_ros.reports.plots import svg

_STAGE_COLORS = ('#c9ced6', '#e08a1e', '#7fb2e5', '#2b7fd4', '#1b4f85')


def time_plots(trace: Trace) -> str:
    """Return the plots of one episode as one SVG; contact phases are shaded in all of them."""
    figure = Figure(figsize=(10, 13), layout='constrained')
    axes = figure.subplots(5, 1, sharex=True)
    times = np.array([inference.time for inference in trace.inferences])
    _plot_gripper(axes[0], trace, times)
    _plot_reuse(axes[1], trace, times)
    _plot_ages(axes[2], trace, times)
    _plot_difference(axes[3], trace, times)
    _plot_latency(axes[4], trace, times)
    for axis in axes:
        _shade_contact(axis, trace, times)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        axis.spines[['top']].set_visible(False)
    axes[-1].set_xlim(0, max(trace.duration, 0.1))
    axes[-1].set_xlabel('simulated time, s')
    return svg(figure)


def phase_plot(phases: Mapping[str, Any], gate: str) -> str:
    """Return reuse in quiet and in contact phases as SVG, one line per episode."""
    figure = Figure(figsize=(11, 4.2), layout='constrained')
    titles = {
        'chosen': 'chosen by the gate',
        'cached': 'inferences from the cache',
        'all': 'all inferences',
    }
    for axis, (kind, title) in zip(
        figure.subplots(1, len(titles), sharey=True), titles.items(), strict=True
    ):
        _plot_phases(axis, phases[kind], title)
    figure.axes[0].set_ylabel('visual tokens reused, mean per episode')
    figure.suptitle(f'gate {gate}', fontsize=11)
    return svg(figure)


def _plot_gripper(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    axis.plot(times, [100 * i.height for i in trace.inferences], color=BLUE,
              label='height above the table')  # fmt: skip
    # beyond 20 cm it says nothing, and would flatten what matters
    near = [min(100 * max(i.clearance, 0), 20) for i in trace.inferences]
    axis.plot(times, near, color=GREEN, label='distance to the nearest object')
    axis.axhline(100 * NEAR, color=GREEN, linewidth=0.8, linestyle=':')
    _name(axis, 'Gripper (shaded: contact)', 'cm')


def _plot_reuse(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    reuse = [i.report.reuse for i in trace.inferences]
    axis.step([*times, trace.duration], [*reuse, reuse[-1]], where='post', color=BLUE,
              label='reused')  # fmt: skip
    chosen = [(i.time, i.ratio) for i in trace.inferences if i.ratio is not None]
    if chosen:
        axis.plot(*zip(*chosen, strict=True), 'o', color=GREEN, markersize=4,
                  label='chosen by the gate')  # fmt: skip
    full = [i.time for i in trace.inferences if i.report.refresh]
    axis.plot(
        full, [0.03] * len(full), '^', color=ORANGE, label='everything recomputed', clip_on=False
    )
    _name(axis, 'Reuse', 'share of visual tokens')
    axis.set_ylim(top=1)


def _plot_ages(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    ages = [i.report.ages for i in trace.inferences]
    axis.plot(times, [a.max() for a in ages], color=ORANGE, label='oldest')
    axis.plot(times, [a.mean() for a in ages], color=BLUE, label='mean')
    _name(axis, 'Age of the tokens', 'inferences')


def _plot_difference(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    axis.plot(times, [i.difference for i in trace.inferences], color=BLUE, label='all values')
    _name(axis, 'Difference of the executed actions to dense', 'normalised, mean absolute')
    other = axis.twinx()
    other.plot(times, [i.translation for i in trace.inferences], color=ORANGE, linewidth=1.2)
    axis.plot([], [], color=ORANGE, label='translation')
    _legend(axis)
    other.set_ylabel('mm per action', fontsize=8)
    other.set_ylim(bottom=0)
    other.spines[['top']].set_visible(False)


def _plot_latency(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    measured = [i.report.latency_ms for i in trace.inferences]
    stages = [stage for stage in STAGES[1:] if any(stage in values for values in measured)]
    if stages:
        layers = [[values.get(stage, 0.0) for values in measured] for stage in stages]
        axis.stackplot(times, layers, labels=stages, colors=_STAGE_COLORS, step='post')
    dense = [i.dense_ms for i in trace.inferences]
    axis.plot(times, dense, color='#444', linestyle='--', linewidth=1, label='dense, total')
    _name(axis, 'Observation to action', 'ms')


def _shade_contact(axis: Axes, trace: Trace, times: np.ndarray) -> None:
    ends = [*times[1:], trace.duration]
    for inference, begin, end in zip(trace.inferences, times, ends, strict=True):
        if inference.phase == CONTACT:
            axis.axvspan(begin, end, color=ORANGE, alpha=0.13, linewidth=0, zorder=0)


def _plot_phases(axis: Axes, figures: Mapping[str, Any], title: str) -> None:
    pairs = figures['per_episode']
    for pair in pairs:
        axis.plot([0, 1], [pair[QUIET], pair[CONTACT]], color=GREY, alpha=0.35, linewidth=0.8)
    for position, (name, color) in enumerate(((QUIET, BLUE), (CONTACT, ORANGE))):
        values = [pair[name] for pair in pairs]
        if values:
            box = axis.boxplot(values, positions=[position], widths=0.35, patch_artist=True,
                               showfliers=False, medianprops={'color': '#222'})  # fmt: skip
            box['boxes'][0].set(facecolor=color, alpha=0.55)
    axis.set_xticks([0, 1], [QUIET, CONTACT])
    axis.set_xlim(-0.6, 1.6)
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.25, axis='y')
    axis.spines[['top', 'right']].set_visible(False)
    text = 'no episode has both phases'
    if figures['difference'] is not None:
        low, high = (100 * value for value in figures['difference_ci95'])
        text = f'difference {100 * figures["difference"]:+.1f} points ({low:+.1f} to {high:+.1f})'
    axis.set_title(f'{title}\n{text}', fontsize=10)


def _name(axis: Axes, title: str, unit: str) -> None:
    axis.set_title(title, loc='left', fontsize=10, fontweight='bold')
    axis.set_ylabel(unit, fontsize=8)
    axis.spines[['right']].set_visible(False)
    _legend(axis)


def _legend(axis: Axes) -> None:
    # beside the title: inside it would lie on the lines
    count = len(axis.get_legend_handles_labels()[1])
    axis.legend(
        frameon=False, loc='lower right', bbox_to_anchor=(1, 1), ncols=count, fontsize=8,
        borderaxespad=0,
    )  # fmt: skip
