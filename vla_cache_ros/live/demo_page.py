# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out what a demo measured: the table in the terminal and the page in the browser.

Formats figures that others computed; the only arithmetic is the ratio of two medians.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.solved_time import solved_text
from vla_cache_ros.reports.hardware import footer
from vla_cache_ros.reports.page import write_report
from vla_cache_ros.reports.plots import line_plot
from vla_cache_ros.reports.plots import Plot
from vla_cache_ros.reports.tables import Table


def comparison(report: Mapping[str, Any]) -> Table:
    """Return dense beside cached, one row per figure."""
    dense, cached = report['dense'], report
    return Table(
        ('', 'dense', f'{cached["gate"]}'),
        [
            ('episodes that succeeded', *(_success(run) for run in (dense, cached))),
            ('seconds per solved task', *(_solved(run) for run in (dense, cached))),
            ('visual tokens reused', *(f'{run["reuse_mean"]:.0%}' for run in (dense, cached))),
            ('observation to action, p50', *_milliseconds(dense, cached, 'p50')),
            ('observation to action, p95', *_milliseconds(dense, cached, 'p95')),
            ('image to command, p50', *_ros_milliseconds(dense, cached, 'p50')),
            ('image to command, p95', *_ros_milliseconds(dense, cached, 'p95')),
            ('image to command, worst', *_ros_milliseconds(dense, cached, 'worst')),
            ('speed against dense (p50)', '1.00x', f'{_speed(dense, cached):.2f}x'),
        ],
    )


def write_page(
    path: Path, report: Mapping[str, Any], runs: Mapping[str, Sequence[Episode]], video: Path
) -> None:
    """Write the page: video, comparison, one plot of reuse and one of latency, episodes."""
    write_report(
        path,
        title=f'vla_cache_ros demo: dense and {report["gate"]}',
        lead='The same instructions, driven over ROS 2 by the same model, '
        'without and with its visual tokens kept from step to step.',
        table=comparison(report),
        plots=[
            _plot(runs, 'Reuse', 'visual tokens reused', 'Share taken from the cache at each '
                  'inference; 0 where everything was recomputed.', _reuse),
            _plot(runs, 'Time', 'ms', 'Observation in to action out, one point per inference.',
                  _total),
        ],
        episodes=Table(
            ('gate', 'seed', 'task', 'result', 'control steps', 'inferences', 'seconds'),
            [
                (name, str(e.seed), e.task, 'success' if e.success else 'not done', str(e.steps),
                 str(len(e.reuse)), f'{e.seconds:.1f}')
                for name, episodes in runs.items()
                for e in episodes
            ],
        ),
        footer=[
            *footer(report),
            f'{report["ros"]["images"]} images and {report["ros"]["commands"]} commands in the '
            'bag.',
        ],
        video=video,
    )  # fmt: skip


def _plot(
    runs: Mapping[str, Sequence[Episode]],
    title: str,
    unit: str,
    caption: str,
    values: Callable[[Episode], Sequence[float]],
) -> Plot:
    lines = {}
    for name, episodes in runs.items():
        y = [value for episode in episodes for value in values(episode)]
        lines[name] = range(len(y)), y
    return line_plot(title, caption, lines, 'inference, all episodes in a row', unit)


def _reuse(episode: Episode) -> Sequence[float]:
    return episode.reuse


def _total(episode: Episode) -> Sequence[float]:
    return [values['total'] for values in episode.latency_ms]


def _success(run: Mapping[str, Any]) -> str:
    return f'{run["successes"]} of {run["episodes"]}'


def _solved(run: Mapping[str, Any]) -> str:
    return solved_text(run['seconds_per_solved'], run['seconds_per_solved_ci95'], 1) or '-'


def _milliseconds(dense: Mapping, cached: Mapping, percentile: str) -> list[str]:
    return [f'{run["latency_ms"]["total"][percentile]:.1f} ms' for run in (dense, cached)]


def _ros_milliseconds(dense: Mapping, cached: Mapping, percentile: str) -> list[str]:
    return [f'{run["ros"]["image_to_command_ms"][percentile]:.1f} ms' for run in (dense, cached)]


def _speed(dense: Mapping, cached: Mapping) -> float:
    return dense['latency_ms']['total']['p50'] / cached['latency_ms']['total']['p50']
