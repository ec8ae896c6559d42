# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time steps as the work grows: with every camera that is added, and within one very long episode.

The sizes are those of `tabletop`. Cameras are counted on random weights, since no one model takes
1 to 4 of them; the long episode runs on the model that ships, over recorded frames back and forth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.growth_plot import draw_growth
from vla_cache_ros.evaluation.bench.inputs import back_and_forth
from vla_cache_ros.evaluation.bench.inputs import DRIVER
from vla_cache_ros.evaluation.bench.inputs import record_episodes
from vla_cache_ros.evaluation.bench.summary import make_sample
from vla_cache_ros.evaluation.bench.summary import Sample
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.evaluation.comparison.plots import save_figure
from vla_cache_ros.evaluation.steady import resident_mib
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.reports.statistics import percentiles
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
        'hardware': hardware(),
        'versions': versions(),
    }
    write_json(out / 'growth.json', figures)
    save_figure(out / 'growth', draw_growth(figures))
    for row in figures['cameras']:
        print(
            f'{row["cameras"]} cameras, {row["variant"]:<24}{row["rows"]:>8.0f} rows'
            f'{row["total_ms"]["p50"]:>9.1f} ms'
        )
    for row in figures['episode']['windows']:
        print(
            f'steps {row["first"]:>5} to {row["last"]:>5}{row["total_ms"]["p50"]:>9.1f} ms, '
            f'{row["ratio"]:.3f} of dense, {row["resident_mib"]:.0f} MiB'
        )
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
    keys = list(actors)
    samples: dict[tuple[int, Variant], list[Sample]] = {key: [] for key in keys}
    turn = 0
    for index, episode in enumerate(tqdm(episodes, unit='episode')):
        for actor in actors.values():
            actor.reset()
        for step, observation in enumerate(episode):
            for place in turn_order(len(keys), turn):
                cameras, variant = key = keys[place]
                fitted, vla = fit_cameras(observation, cameras), models[cameras]
                chunk, report = actors[key].act(fitted)
                sample = make_sample(variant, vla, fitted, index, step, chunk, report)
                samples[key].append(sample)
            turn += 1
    return [
        _row(cameras, variant, models[cameras], samples[cameras, variant])
        for cameras, variant in keys
    ]


def _model(cameras: int) -> LoadedVLA:
    config = VLAConfig.from_pretrained(resolve(DRIVER))
    config = config.with_oft(replace(config.oft, num_images=cameras))
    return random_vla(config, dtype=torch.float32, name=f'{DRIVER}-{cameras}')


def _row(
    cameras: int, variant: Variant, vla: LoadedVLA, samples: Sequence[Sample]
) -> dict[str, Any]:
    costs = Costs(vla.config, torch.float32, vla.config.oft.action_dim)
    timed = [sample for sample in samples if sample.step]
    return {
        'cameras': cameras,
        'variant': variant.name,
        'reuse': float(np.mean([sample.reuse for sample in timed])),
        'rows': float(np.mean([step_work(variant, sample, costs).rows for sample in timed])),
        'total_ms': percentiles([sample.latency_ms['total'] for sample in timed]),
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
        times[step], memory[step] = report.latency_ms['total'], resident_mib()
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
