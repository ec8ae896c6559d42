# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time the plain loop and every variant of the engine side by side, on the same observations.

One process, one model in memory. The variants take turns step by step, in an order that changes,
so that whatever else the machine does falls on all alike. Joins the parts: inputs, variants,
machine, summary, report.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import functools
import gc
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.evaluation.bench.busy import busy_processes
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.inputs import record_episodes
from vla_cache_ros.evaluation.bench.report import write_bench
from vla_cache_ros.evaluation.bench.roofline import best
from vla_cache_ros.evaluation.bench.roofline import measure
from vla_cache_ros.evaluation.bench.summary import beside
from vla_cache_ros.evaluation.bench.summary import make_sample
from vla_cache_ros.evaluation.bench.summary import Sample
from vla_cache_ros.evaluation.bench.summary import summarize
from vla_cache_ros.evaluation.bench.variants import find_saved_gate
from vla_cache_ros.evaluation.bench.variants import HF
from vla_cache_ros.evaluation.bench.variants import list_variants
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import REUSES
from vla_cache_ros.evaluation.bench.variants import SHAPE_REUSES
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.settings import Benchmark
from vla_cache_ros.evaluation.steady import resident_mib
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.quantized import compute_dtype
from vla_cache_ros.vla.quantized import DTYPES
from vla_cache_ros.vla.shapes import parameter_count
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import shape_config

DEFAULT_CHECKPOINT = 'tabletop'
STEPS, SHAPE_STEPS = 60, 4
WARMUP, SHAPE_WARMUP = 5, 1


def run_bench(asked: Benchmark) -> dict[str, Any]:
    """
    Measure all variants; write bench.json, bench.md, bench.svg and bench.png.

    Raises ValueError, before anything is loaded, for what can't be run.
    """
    checkpoint, shape, device = asked.checkpoint, asked.shape, asked.device
    if checkpoint is not None and shape is not None:
        raise ValueError(f'shape: expected no checkpoint beside it, got {checkpoint!r}')
    config = None if shape is None else shape_config(shape)
    steps = asked.steps or (STEPS if shape is None else SHAPE_STEPS)
    dtype = asked.dtype or ('float32' if shape is None else 'bfloat16')
    if dtype not in DTYPES:
        raise ValueError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
    check_device(device)
    check_dtype(DTYPES[dtype], device)
    folder = resolve(checkpoint or DEFAULT_CHECKPOINT) if shape is None else None
    asked.out.mkdir(parents=True, exist_ok=True)

    warmup = WARMUP if shape is None else SHAPE_WARMUP
    execute = EXECUTE_STEPS  # random weights have no rate of their own
    if config is None:
        vla: LoadedVLA = load_checkpoint(folder, dtype=DTYPES[dtype], device=device)
        execute = min(EXECUTE_STEPS, vla.config.chunk)
    else:
        vla = random_vla(config, dtype=DTYPES[dtype], device=device, name=shape)
    episodes = record_episodes(steps, warmup, asked.seed, device, execute)
    episodes = [[fit_cameras(o, vla.config.cameras) for o in episode] for episode in episodes]
    saved = find_saved_gate(vla)
    reuses = asked.reuse or (REUSES if shape is None else SHAPE_REUSES)
    variants = list_variants(vla.config.decodes_tokens, reuses, learned=saved is not None)
    actors, memory = _start(variants, vla, saved or untrained_gate(vla), episodes[0])

    text = len(vla.prompt_ids(episodes[0][0].instruction)) - 1
    compute = compute_dtype(DTYPES[dtype], device)
    costs = Costs(vla.config, compute, len(vla.statistics().action), DTYPES[dtype])
    weight_bytes = sum(p.nbytes for p in vla.model.parameters())
    rates = functools.partial(
        measure, vla.config, costs.layout.used(text), weight_bytes, DTYPES[dtype], device
    )
    before = rates()
    samples = take_turns(actors, vla, episodes[1:])
    machine = best(before, rates())  # a neighbour may have been there at one end
    loaded = None
    if asked.busy:
        with busy_processes(asked.busy):
            loaded = take_turns(actors, vla, episodes[1:])
    figures = {
        'model': shape or public_name(vla.folder),
        'random_weights': shape is not None,
        'trained_gate': saved is not None,
        'parameters': parameter_count(vla.config),
        'dtype': dtype,
        'device': device,
        'seed': asked.seed,
        'warmup_steps': warmup + 1,
        **summarize(samples, costs, machine, memory, dtype),
        'busy': None if loaded is None else beside(asked.busy, samples, loaded),
        'machine': {
            'gmacs_per_s': machine.macs / 1e9,
            'gbytes_per_s': machine.copied / 1e9,
            'matrix': list(machine.matrix),
        },
        'weights_mib': weight_bytes / 2**20,
        'peak_mib': peak_mib(device),
        'hardware': hardware(),
        'versions': versions(),
    }
    write_bench(asked.out, figures)
    return figures


def take_turns(
    actors: Mapping[Variant, Any], vla: LoadedVLA, episodes: Sequence[Sequence[Observation]]
) -> dict[Variant, list[Sample]]:
    """Let every actor act on every observation, all on one before any on the next."""
    variants = list(actors)
    samples: dict[Variant, list[Sample]] = {variant: [] for variant in variants}
    turn = 0
    gc.collect()
    gc.freeze()  # what is loaded is no more looked through for garbage
    try:
        with tqdm(total=sum(map(len, episodes)), unit='step') as bar:
            for index, episode in enumerate(episodes):
                for actor in actors.values():
                    actor.reset()
                for step, observation in enumerate(episode):
                    for place in turn_order(len(variants), turn):
                        variant = variants[place]
                        chunk, report = actors[variant].act(observation)
                        samples[variant].append(
                            make_sample(variant, vla, observation, index, step, chunk, report)
                        )
                    turn += 1
                    bar.update()
    finally:
        gc.unfreeze()
    return samples


def peak_mib(device: str) -> float:
    """Return the most memory that was ever in use, MiB: the process's, or the GPU's."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path('/proc/self/status').read_text(encoding='ascii')
    line = next(line for line in status.splitlines() if line.startswith('VmHWM:'))
    return int(line.split()[1]) / 2**10


def _start(
    variants: Sequence[Variant],
    vla: LoadedVLA,
    saved: Any,
    warmup: Sequence[Observation],
) -> tuple[dict[Variant, Any], dict[Variant, dict[str, float]]]:
    """Make and warm up every actor, one after the other, and see what memory each takes."""
    actors: dict[Variant, Any] = {}
    memory: dict[Variant, dict[str, float]] = {}
    for variant in tqdm(variants, unit='variant'):
        before = _held_mib(vla)
        actors[variant] = actor = make_actor(variant, vla, saved)
        for observation in warmup:
            actor.act(observation)
        cache = actor.cache_bytes if variant.gate == HF else actor.cache.memory_bytes()
        memory[variant] = {'cache': cache / 2**20, 'added': _held_mib(vla) - before}
    return actors, memory


def _held_mib(vla: LoadedVLA) -> float:
    device = vla.model.like.device
    if device.type == 'cuda':
        return torch.cuda.memory_allocated(device) / 2**20
    return resident_mib()
