# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Time every variant of one shape by turns on the same recorded observations.

A variant that fails is left out and its reason kept; the others go on. Knows no table.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import time
from typing import Any

from compiled_loop import CompiledLoop
import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.evaluation.bench import variants
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.roofline import Machine
from vla_cache_ros.evaluation.bench.roofline import measure
from vla_cache_ros.evaluation.bench.sampling import Sample
from vla_cache_ros.evaluation.bench.sampling import take_turns
from vla_cache_ros.evaluation.bench.sampling import text_tokens
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.summary import timing
from vla_cache_ros.evaluation.bench.variants import HF
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.reports.hardware import held_mib
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.flow.sampler import FlowSampler
from vla_cache_ros.vla.fused import fuse
from vla_cache_ros.vla.quantized import DTYPES
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import RandomVLA

SPARE_S = 15  # s, to write what was found
LAPS = ('total', 'preprocess', 'gate', 'vision', 'wait', 'decoder', 'decode')
_ATTENTION = ('flash', 'fmha', 'attention', 'sdpa', 'cudnn')


@dataclass(frozen=True)
class Row:
    """
    Hold one line of the table.

    dtype: of the weights. compiled: the plain loop through torch.compile. reuse_towers: whether
    the towers too compute active patches alone.
    """

    name: str
    variant: Variant
    dtype: str = 'bfloat16'
    compiled: bool = False
    reuse_towers: bool = False


def list_rows(config: VLAConfig, dtypes: Sequence[str]) -> list[Row]:
    """
    Return the lines of a shape: the plain loop, dense, rules, the learned gate at three shares.

    dtypes: of lighter weights, in which dense and the learned gate at 70 % run again. Of a flow
    model what its bound is held against alone.
    """
    causal = config.decodes_tokens
    plain, best = ('greedy', 'jacobi') if causal else ('', '')
    dense, attention = Variant('dense', decoding=best), Variant('vla-cache', decoding=best)
    learned = {r: Variant('learned-fixed', r, decoding=best) for r in (0.5, 0.7, 0.85)}
    rows = [
        Row('hf eager', Variant(HF, capture=False, decoding=plain)),
        Row('dense eager', Variant('dense', capture=False, decoding=plain)),
        Row('dense recorded', dense),
        Row('every 2', Variant('every', 0.5, decoding=best)),
        Row('vla-cache', attention),
        *(Row(f'learned {100 * reuse:.0f} %', variant) for reuse, variant in learned.items()),
        Row('learned 70 %, towers too', learned[0.7], reuse_towers=True),
    ]
    if config.flow:
        return [row for row in rows if row.variant not in (learned[0.5], learned[0.85], attention)]
    if causal:
        rows.insert(2, Row('dense recorded, greedy', Variant('dense', decoding='greedy')))
    else:
        rows.insert(1, Row('hf compiled', Variant(HF, capture=False), compiled=True))
    for dtype in dtypes:
        rows.append(Row(f'dense recorded, {dtype}', dense, dtype))
        rows.append(Row(f'learned 70 %, {dtype}', learned[0.7], dtype))
    return rows


def bench_shape(
    name: str,
    config: VLAConfig,
    rows: Sequence[Row],
    episodes: Sequence[Sequence[Observation]],
    device: str,
    recorder: Callable[[], Recorder | None],
    left: Callable[[], float],
) -> dict[str, Any]:
    """
    Return the figures of one shape as plain JSON values.

    name, config: of the shape. rows: what is compared. episodes: the first one warms up; of the
    others the first step of each counts apart. device: a torch device. recorder: returns what
    records, None for graphs. left: the seconds that are left; a row that comes too late is
    skipped, and said.
    """
    # what was compiled for other shapes would use up the variants that a function may have
    torch._dynamo.reset()
    episodes = [[fit_cameras(o, config.cameras) for o in episode] for episode in episodes]
    failed: dict[str, str] = {}
    actors: dict[Row, Any] = {}
    made: dict[Row, dict[str, float]] = {}
    models: dict[str, RandomVLA] = {}
    for row in tqdm(rows, desc=name, unit='variant', leave=False):
        if left() < (100 if row.compiled else 20):
            failed[row.name] = 'skipped: no time left'
            continue
        before, begin = held_mib(device), time.perf_counter()
        try:
            vla = models.get(row.dtype)
            if vla is None:
                vla = models[row.dtype] = random_vla(
                    config, dtype=DTYPES[row.dtype], device=device, name=name
                )
                # joins weights, which moves them: before anything is recorded that reads them
                fuse(vla.model.language_model)
                if config.flow:
                    FlowSampler(vla.model.action_head)
                before = held_mib(device)
            actor = _make(row, vla, recorder())
            if row.name == 'dense recorded':
                actor.prepare()  # all shapes, as a node does when it is configured
            for observation in episodes[0]:
                actor.act(observation)
        except Exception as error:  # noqa: BLE001 - the others go on
            failed[row.name] = f'{type(error).__name__}: {" ".join(str(error).split()):.300}'
            continue
        actors[row] = actor
        made[row] = {
            'seconds': time.perf_counter() - begin,
            'mib': held_mib(device) - before,
        }
    if not actors:
        return {'shape': name, 'entries': [], 'failed': failed}
    broken: dict[Row, str] = {}
    samples = take_turns(
        actors, lambda row: models[row.dtype], episodes[1:], lambda: left() < SPARE_S, broken
    )
    failed |= {row.name: reason for row, reason in broken.items()}
    vla = next(iter(models.values()))
    weights = {key: _weight_bytes(vla) for key, vla in models.items()}
    costs = Costs(config, torch.bfloat16, len(vla.statistics().action))
    used = costs.layout.used(text_tokens(vla, ''))
    machine = measure(config, used, next(iter(weights.values())), torch.bfloat16, device)
    entries = [
        {
            **_entry(row, found, costs, machine),
            **made[row],
            **_kernels(actors[row], episodes[1], device),
        }
        for row, found in samples.items()
    ]
    return {
        'shape': name,
        'entries': _ratios(entries),
        'bound': bound(entries),
        'failed': failed,
        'weights_mib': {key: size / 2**20 for key, size in weights.items()},
        'parameters': sum(p.numel() for p in vla.model.parameters()),
        'timed_steps': max(sum(s.step > 0 for s in found) for found in samples.values()),
        'gmacs_per_s': machine.macs / 1e9,
        'gbytes_per_s': machine.copied / 1e9,
    }


def _make(row: Row, vla: RandomVLA, recorder: Recorder | None) -> Any:
    if row.compiled:
        return CompiledLoop(vla)
    saved = variants.untrained_gate(vla)
    return variants.make_actor(row.variant, vla, saved, row.reuse_towers, recorder)


def _entry(row: Row, found: Sequence[Sample], costs: Costs, machine: Machine) -> dict[str, Any]:
    floors = [
        machine.floors_ms(costs.stages(step_work(row.variant, sample, costs)))
        for sample in found
        if sample.step
    ]
    floor = {name: float(np.median([one[name] for one in floors])) for name in floors[0]}
    return {
        'name': row.name,
        'dtype': row.dtype,
        'decoding': row.variant.decoding or None,
        **timing(found, LAPS),
        # of bfloat16 weights: lighter ones have a lower one
        'floor_ms': floor['total'] if row.dtype == 'bfloat16' else None,
        'floor_vision_ms': floor['vision'],
    }


def bound(entries: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """
    Return how much faster than a dense step one that reuses 70 % can be on this card.

    at_most: at the best rates that were seen, towers reused; whole_towers: where those run whole.
    None where either was not measured.
    """
    floors = {entry['name']: entry for entry in entries}
    if not {'dense recorded', 'learned 70 %'} <= floors.keys():
        return None
    dense, cached = floors['dense recorded'], floors['learned 70 %']
    spared = dense['floor_vision_ms'] - cached['floor_vision_ms']
    return {
        'at_most': dense['floor_ms'] / cached['floor_ms'],
        'whole_towers': dense['floor_ms'] / (cached['floor_ms'] + spared),
    }


def _ratios(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add how many times as fast as the yardsticks of its run each entry is, by medians."""
    p50 = {entry['name']: entry['latency_ms']['total']['p50'] for entry in entries}
    for entry in entries:
        for name in ('hf eager', 'hf compiled', 'dense recorded'):
            ratio = p50[name] / p50[entry['name']] if name in p50 else None
            entry[f'times_{name.replace(" ", "_")}'] = ratio
    return entries


def _kernels(actor: Any, episode: Sequence[Observation], device: str) -> dict[str, Any]:
    """Return how many kernels a cached step runs, and which of them attend."""
    if torch.device(device).type != 'cuda':
        return {'kernels': None, 'attention': [], 'longest_us': []}
    actor.reset()
    actor.act(episode[0])
    torch.cuda.synchronize(device)
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        actor.act(episode[1])
        torch.cuda.synchronize(device)
    spent: dict[str, list[float]] = {}
    for event in profile.events():
        spent.setdefault(event.name[:120], []).append(event.device_time)
    attention = sorted(n for n in spent if any(word in n.lower() for word in _ATTENTION))
    longest = sorted(spent, key=lambda name: -sum(spent[name]))[:15]
    return {
        'kernels': sum(map(len, spent.values())),
        'attention': attention,
        'longest_us': [[name, len(spent[name]), sum(spent[name])] for name in longest],
    }


def _weight_bytes(vla: RandomVLA) -> int:
    tensors = [*vla.model.parameters(), *vla.model.buffers()]
    return sum(tensor.nbytes for tensor in tensors)
