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

ROWS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    'episodes that succeeded': lambda run: f'{run["successes"]} of {run["episodes"]}',
    'seconds per solved task': lambda run: (
        solved_text(run['seconds_per_solved'], run['seconds_per_solved_ci95'], 1) or '-'
    ),
    'visual tokens reused': lambda run: f'{run["reuse_mean"]:.0%}',
    'observation to action, p50': lambda run: f'{run["latency_ms"]["total"]["p50"]:.1f} ms',
    'observation to action, p95': lambda run: f'{run["latency_ms"]["total"]["p95"]:.1f} ms',
    **{
        f'image to command, {at}': lambda run, at=at: (
            f'{run["ros"]["image_to_command_ms"][at]:.1f} ms'
        )
        for at in ('p50', 'p95', 'worst')
    },
}


def comparison(report: Mapping[str, Any]) -> Table:
    """Return dense beside cached, one row per figure."""
    runs = dense, cached = report['dense'], report
    rows = [(name, *map(text, runs)) for name, text in ROWS.items()]
    medians = [run['latency_ms']['total']['p50'] for run in runs]
    rows.append(('speed against dense (p50)', '1.00x', f'{medians[0] / medians[1]:.2f}x'))
    return Table(('', 'dense', cached['gate']), rows)


def write_page(
    path: Path, report: Mapping[str, Any], runs: Mapping[str, Sequence[Episode]], video: Path
) -> None:
    """Write the page: video, comparison, one plot of reuse and one of latency, episodes."""

    def plot(title: str, caption: str, unit: str, values: Callable[[Episode], Any]) -> Plot:
        lines = {}
        for name, episodes in runs.items():
            y = [value for episode in episodes for value in values(episode)]
            lines[name] = range(len(y)), y
        return line_plot(title, caption, lines, 'inference, all episodes in a row', unit)

    write_report(
        path,
        title=f'vla_cache_ros demo: dense and {report["gate"]}',
        lead='The same instructions, driven over ROS 2 by the same model, '
        'without and with its visual tokens kept from step to step.',
        table=comparison(report),
        plots=[
            plot('Reuse', 'Share taken from the cache at each inference; 0 where everything was '
                 'recomputed.', 'visual tokens reused', lambda episode: episode.reuse),
            plot('Time', 'Observation in to action out, one point per inference.', 'ms',
                 lambda episode: [stages['total'] for stages in episode.latency_ms]),
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
