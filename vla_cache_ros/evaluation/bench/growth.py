# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time steps as the work grows: with every camera that is added, and within one very long episode.

The sizes are those of `tabletop`. Cameras are counted on random weights, since no one model takes
1 to 4 of them; the long episode runs on the model that ships, over recorded frames back and forth.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.sampling import DRIVER
from vla_cache_ros.evaluation.bench.sampling import record_episodes
from vla_cache_ros.evaluation.bench.sampling import Sample
from vla_cache_ros.evaluation.bench.sampling import take_turns
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.summary import timing
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports import plots
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import held_mib
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.tables import Table
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.shapes import random_vla

CAMERAS = (1, 2, 3, 4)
CAMERA_STEPS = 40  # timed steps for each number of cameras
WINDOWS = (10, 100, 1000, 10_000)
REUSE = 0.7
REFERENCE_EVERY = 10  # steps after which the dense reference acts too
_REFERENCE_START = 100  # steps at the start, whose windows are short, after each of which it does
_WARMUP = 5


def run_growth(out: Path, steps: int, seed: int) -> dict[str, Any]:
    """
    Measure both and write growth.json, growth.svg and growth.png to `out`.

    steps: of the long episode, at least as many as the first window has.
    """
    out.mkdir(parents=True, exist_ok=True)
    warmup, *episodes = record_episodes(CAMERA_STEPS, _WARMUP, seed)
    figures = {
        'reuse': REUSE,
        'seed': seed,
        'cameras': grow_cameras(CAMERAS, warmup, episodes),
        'episode': grow_episode(steps, episodes[0]),
        **measured_on(),
    }
    write_json(out / 'growth.json', figures)
    plots.save_figure(out / 'growth', draw_growth(figures))
    cameras = [
        {
            'cameras': str(row['cameras']),
            'variant': row['variant'],
            'rows': f'{row["rows"]:.0f}',
            'p50 ms': f'{row["total_ms"]["p50"]:.1f}',
        }
        for row in figures['cameras']
    ]
    windows = [
        {
            'steps': f'{row["first"]} to {row["last"]}',
            'p50 ms': f'{row["total_ms"]["p50"]:.1f}',
            'of dense': f'{row["ratio"]:.3f}',
            'MiB': f'{row["resident_mib"]:.0f}',
        }
        for row in figures['episode']['windows']
    ]
    print('\n\n'.join(Table.of(rows).text() for rows in (cameras, windows)))
    return figures


def grow_cameras(
    counts: Sequence[int],
    warmup: Sequence[Observation],
    episodes: Sequence[Sequence[Observation]],
) -> list[dict[str, Any]]:
    """
    Return rows and times of dense and cached steps of models with so many cameras each.

    All models take turns, as the variants of a benchmark do.
    """
    models = {cameras: _model(cameras) for cameras in counts}
    actors = {}
    for cameras, vla in models.items():
        for variant in (Variant('dense'), Variant('learned-fixed', REUSE)):
            actors[cameras, variant] = actor = make_actor(variant, vla, untrained_gate(vla))
            for observation in warmup:
                actor.act(fit_cameras(observation, cameras))
    samples = take_turns(actors, lambda key: models[key[0]], episodes)
    return [
        _row(cameras, variant, models[cameras], found)
        for (cameras, variant), found in samples.items()
    ]


def _model(cameras: int) -> LoadedVLA:
    config = VLAConfig.from_pretrained(resolve(DRIVER))
    config = config.with_oft(replace(config.oft, num_images=cameras))
    return random_vla(config, dtype=torch.float32, name=f'{DRIVER}-{cameras}')


def _row(
    cameras: int, variant: Variant, vla: LoadedVLA, samples: Sequence[Sample]
) -> dict[str, Any]:
    costs = Costs(vla.config, torch.float32, vla.config.oft.action_dim)
    times, timed = timing(samples), [sample for sample in samples if sample.step]
    return {
        'cameras': cameras,
        'variant': variant.name,
        'reuse': times['reuse'],
        'rows': float(np.mean([step_work(variant, sample, costs).rows for sample in timed])),
        'total_ms': times['latency_ms']['total'],
    }


def grow_episode(steps: int, frames: Sequence[Observation]) -> dict[str, Any]:
    """
    Return windows of one long episode, each half as long as the steps up to its end.

    A dense policy acts along now and then: what slows it too is the machine, not the episode.
    """
    cached = Policy.from_pretrained(DRIVER, gate='learned-fixed', reuse=REUSE)
    dense = Policy.from_pretrained(DRIVER, gate='dense')
    times, memory = np.empty(steps), np.empty(steps)
    reference = np.full(steps, np.nan)
    for step in range(_WARMUP):
        cached.act(frames[back_and_forth(step, len(frames))])
        dense.act(frames[0])
    cached.reset()
    ages = 0
    for step in tqdm(range(steps), unit='step'):
        report = cached.act(frames[back_and_forth(step, len(frames))])[1]
        times[step], memory[step] = report.latency_ms['total'], held_mib('cpu')
        ages = max(ages, int(report.ages.max()))
        if step < _REFERENCE_START or not step % REFERENCE_EVERY:
            reference[step] = dense.act(frames[0])[1].latency_ms['total']
    return {
        'steps': steps,
        'frames': len(frames),
        'oldest_token': ages,
        'cache_mib': cached.cache.memory_bytes() / 2**20,
        'windows': [_window(end, times, reference, memory) for end in WINDOWS if end <= steps],
    }


def _window(
    end: int, times: np.ndarray, reference: np.ndarray, memory: np.ndarray
) -> dict[str, Any]:
    part = slice(end // 2, end)
    total, beside = percentiles(times[part]), reference[part]
    dense = float(np.median(beside[np.isfinite(beside)]))
    return {
        'first': end // 2 + 1,
        'last': end,
        'total_ms': total,
        'dense_ms': dense,
        'ratio': total['p50'] / dense,
        'resident_mib': float(memory[end - 1]),
    }


def back_and_forth(index: int, count: int) -> int:
    """Return the place, of `count`, at step `index` of a walk to the end and back, for ever."""
    if count == 1:
        return 0
    place = index % (2 * count - 2)
    return min(place, 2 * count - 2 - place)


def draw_growth(figures: Mapping[str, Any]) -> Figure:
    """Return time against rows as cameras are added, and against the length of an episode."""
    figure = Figure(figsize=(9.5, 4), layout='constrained')
    left, right = figure.subplots(1, 2)
    names = dict.fromkeys(row['variant'] for row in figures['cameras'])
    for name, color in zip(names, (plots.GREY, plots.BLUE), strict=True):
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
    right.plot(ends, cached, color=plots.BLUE, marker='o', label='cached')
    dense = [row['dense_ms'] for row in windows]
    right.plot(ends, dense, color=plots.GREY, marker='o', label='dense, meanwhile')
    right.set(xscale='log', xlabel='steps of one episode', ylabel='p50 of its last half, ms')
    for axes in (left, right):
        plots.tidy(axes)
        axes.legend(frameon=False, fontsize=8)
    return figure
