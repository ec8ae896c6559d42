# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say whether what was sampled of a long run stayed flat, and draw it.

Knows columns of numbers over time; not how they were sampled.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
import numpy as np

WARM_UP = 0.1  # of the samples, left out
PART = 0.2  # of the rest, at either end, that is compared
MEMORY_MIB, MEMORY_SHARE = 20.0, 0.02  # growth allowed: the larger of the two
LATENCY_RATIO = 1.1
_SIGMAS = 3.0  # standard errors by which latencies may differ besides: a short run is noisy
_MEDIAN_ERROR = 1.2533  # standard error of a median over that of a mean, sqrt(pi / 2)
_MOST = 600  # samples among which all slopes are taken
_COLORS = ('#2b7fd4', '#e08a1e')
_AXES = (
    ('memory, MiB', ('node_rss_mib', 'robot_rss_mib')),
    ('file descriptors', ('node_fds', 'robot_fds')),
    ('threads', ('node_threads', 'robot_threads')),
    ('p50 of a window, ms', ('image_to_command_ms_p50', 'act_ms_p50')),
)


def flatness(times: Sequence[float], columns: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """
    Return for each column what its start, end and slope are, and whether it is `flat`.

    times: s. Memory (`*_mib`) and latencies (`*_p50`) are compared by the medians of the first
    and the last fifth after the warm-up, counts (others but `*_p95`, which are not judged) by
    their largest values there. slope_per_hour: of Theil and Sen. Raises ValueError for fewer
    than ten samples.
    """
    if len(times) < 10:
        raise ValueError(f'expected at least 10 samples, got {len(times)}: take more steps')
    return {name: _column(name, np.asarray(times), values) for name, values in columns.items()}


def _column(name: str, times: np.ndarray, values: Sequence[float]) -> dict[str, Any]:
    start = round(WARM_UP * len(times))
    kept = np.asarray(values, float)[start:]
    known = np.isfinite(kept)  # a window without an inference has no latency
    kept, hours = kept[known], times[start:][known] / 3600
    if len(kept) < 2:
        return {'flat': False}
    part = max(1, round(PART * len(kept)))
    ends = kept[:part], kept[-part:]
    measure = np.median if name.endswith(('_mib', '_p50', '_p95')) else np.max
    first, last = (float(measure(end)) for end in ends)
    result = {
        'first': first,
        'last': last,
        'min': float(kept.min()),
        'max': float(kept.max()),
        'slope_per_hour': slope(hours, kept),
    }
    if name.endswith('_mib'):
        result['limit'] = first + max(MEMORY_MIB, MEMORY_SHARE * first)
    elif name.endswith('_p50'):
        errors = [_MEDIAN_ERROR * np.std(end) / np.sqrt(len(end)) for end in ends]
        result['limit'] = first * LATENCY_RATIO + _SIGMAS * float(np.hypot(*errors))
    elif not name.endswith('_p95'):
        result['limit'] = first
    if 'limit' in result:
        result['flat'] = last <= result['limit']
    return result


def slope(times: np.ndarray, values: np.ndarray) -> float:
    """Return the median of the slopes between all pairs, of at most 600 samples spread evenly."""
    chosen = np.unique(np.linspace(0, len(times) - 1, min(len(times), _MOST)).round().astype(int))
    x, y = times[chosen], values[chosen]
    first, second = np.triu_indices(len(chosen), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def draw(path: Path, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
    """Write a picture of memory, file descriptors, threads and latency over the steps."""
    figure = Figure(figsize=(9.5, 6), layout='constrained')
    thousands = np.asarray(steps) / 1000
    for axes, (label, names) in zip(figure.subplots(2, 2).flat, _AXES, strict=True):
        for name, color in zip(names, _COLORS, strict=True):
            axes.plot(thousands, columns[name], color=color, linewidth=1.0, label=name)
        axes.set(xlabel='thousands of control steps', ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)
