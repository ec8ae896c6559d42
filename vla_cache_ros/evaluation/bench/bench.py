# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time the plain loop and every variant of the engine, by turns, on the same observations.

One process, one model in memory. Joins the parts: inputs, variants, sampling, machine, summary,
report.
"""

from __future__ import annotations

from collections.abc import Sequence
import functools
from typing import Any

from tqdm import tqdm
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.evaluation.bench import variants
from vla_cache_ros.evaluation.bench.busy import busy_processes
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.inputs import record_episodes
from vla_cache_ros.evaluation.bench.report import write_bench
from vla_cache_ros.evaluation.bench.roofline import best
from vla_cache_ros.evaluation.bench.roofline import measure
from vla_cache_ros.evaluation.bench.sampling import take_turns
from vla_cache_ros.evaluation.bench.sampling import text_tokens
from vla_cache_ros.evaluation.bench.sessions import sessions_table
from vla_cache_ros.evaluation.bench.sessions import time_sessions
from vla_cache_ros.evaluation.bench.summary import beside
from vla_cache_ros.evaluation.bench.summary import ROUNDING
from vla_cache_ros.evaluation.bench.summary import summarize
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.settings import Benchmark
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.files import write_text
from vla_cache_ros.reports.hardware import held_mib
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.reports.hardware import peak_mib
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
SESSIONS_REUSE = 0.6


def run_bench(asked: Benchmark) -> dict[str, Any]:
    """
    Measure all variants; write bench.json, bench.md, bench.svg and bench.png.

    Raises ValueError, before anything is loaded, for what can't be run.
    """
    checkpoint, shape, device = asked.checkpoint, asked.shape, asked.device
    if checkpoint is not None and shape is not None:
        raise ValueError(f'shape: expected no checkpoint beside it, got {checkpoint!r}')
    config = None if shape is None else shape_config(shape, asked.cameras)
    if shape is None and asked.cameras is not None:
        raise ValueError(f'cameras: expected a shape beside them, got {asked.cameras}')
    if asked.empty_cameras and not (config and config.flow):
        raise ValueError('empty_cameras: expected the shape smolvla, pi0 or pi05 beside them')
    steps = asked.steps or (STEPS if shape is None else SHAPE_STEPS)
    dtype = asked.dtype or ('float32' if shape is None else 'bfloat16')
    if dtype not in DTYPES:
        raise ValueError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
    check_device(device)
    check_dtype(DTYPES[dtype], device)
    checkpoint = checkpoint or DEFAULT_CHECKPOINT
    if shape is None:
        resolve(checkpoint)
    asked.out.mkdir(parents=True, exist_ok=True)

    warmup = WARMUP if shape is None else SHAPE_WARMUP
    execute = EXECUTE_STEPS  # random weights have no rate of their own
    if config is None:
        vla: LoadedVLA = load_checkpoint(checkpoint, dtype=DTYPES[dtype], device=device)
        execute = min(EXECUTE_STEPS, vla.config.chunk)
    else:
        vla = random_vla(config, dtype=DTYPES[dtype], device=device, name=shape)
    first, *episodes = record_episodes(steps, warmup, asked.seed, device, execute)
    saved = variants.find_saved_gate(vla)
    if asked.sessions:
        return _of_sessions(asked, vla, saved, [first, *episodes])
    reuses = asked.reuse or (variants.REUSES if shape is None else variants.SHAPE_REUSES)
    listed = variants.list_variants(vla.config.decodes_tokens, reuses, learned=saved is not None)
    if vla.config.flow:
        listed.insert(1, Variant(variants.LEROBOT, capture=False))
    gate, empty = saved or variants.untrained_gate(vla), asked.empty_cameras
    actors, memory, missing = _start(listed, vla, gate, first, device, empty)

    text = text_tokens(vla, first[0].instruction)
    compute = compute_dtype(DTYPES[dtype], device)
    costs = Costs(vla.config, compute, len(vla.statistics().action), DTYPES[dtype], empty)
    weight_bytes = sum(p.nbytes for p in vla.model.parameters())
    rates = functools.partial(
        measure, vla.config, costs.layout.used(text), weight_bytes, DTYPES[dtype], device
    )
    before = rates()
    samples = take_turns(actors, lambda _: vla, episodes)
    machine = best(before, rates())  # a neighbour may have been there at one end
    loaded = None
    if asked.busy:
        with busy_processes(asked.busy):
            loaded = take_turns(actors, lambda _: vla, episodes)
    figures = {
        'model': shape or public_name(vla.folder),
        'random_weights': shape is not None,
        'trained_gate': saved is not None,
        'parameters': parameter_count(vla.config),
        'dtype': dtype,
        'device': device,
        'seed': asked.seed,
        'cameras': vla.config.cameras,
        'empty_cameras': empty,
        'missing': missing,
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
        **measured_on(),
    }
    write_bench(asked.out, figures)
    return figures


def _of_sessions(
    asked: Benchmark,
    vla: LoadedVLA,
    saved: SavedGate | None,
    episodes: Sequence[Sequence[Observation]],
) -> dict[str, Any]:
    """Measure sessions; write sessions.json and sessions.md."""
    reuse = asked.reuse[0] if asked.reuse else SESSIONS_REUSE
    gate = saved or variants.untrained_gate(vla)
    figures = {
        'model': asked.shape or public_name(vla.folder),
        'random_weights': asked.shape is not None,
        'dtype': asked.dtype or ('bfloat16' if asked.shape else 'float32'),
        'device': asked.device,
        'seed': asked.seed,
        **time_sessions(vla, gate, saved is not None, reuse, episodes, asked.sessions),
        **measured_on(),
    }
    figures['checks'] = {
        'ok': all(row['largest_difference'] < ROUNDING for row in figures['rows'])
    }
    write_json(asked.out / 'sessions.json', figures)
    table = sessions_table(figures)
    write_text(asked.out / 'sessions.md', table.markdown() + '\n')
    print(table.text())
    return figures


def _start(
    listed: Sequence[Variant],
    vla: LoadedVLA,
    saved: SavedGate,
    warmup: Sequence[Observation],
    device: str,
    empty_cameras: int,
) -> tuple[dict[Variant, Any], dict[Variant, dict[str, float]], dict[str, str]]:
    """
    Make and warm up every actor, one after the other, and see what memory each takes.

    The third result says why LeRobot is not among them where it is not.
    """
    actors: dict[Variant, Any] = {}
    memory: dict[Variant, dict[str, float]] = {}
    missing: dict[str, str] = {}
    for variant in tqdm(listed, unit='variant'):
        before = held_mib(device)
        try:
            actor = variants.make_actor(variant, vla, saved, empty_cameras=empty_cameras)
            for observation in warmup:
                actor.act(fit_cameras(observation, vla.config.cameras))
        except Exception as error:
            if variant.gate != variants.LEROBOT:
                raise
            missing[variant.name] = f'{" ".join(str(error).split()):.200}'
            continue
        actors[variant] = actor
        loop = variant.gate in variants.LOOPS
        cache = actor.cache_bytes if loop else actor.cache.memory_bytes()
        memory[variant] = {'cache': cache / 2**20, 'added': held_mib(device) - before}
    return actors, memory, missing
