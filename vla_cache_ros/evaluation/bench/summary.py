# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn the samples of a benchmark into its figures: percentiles, work, floors, ratios, agreement.

Knows neither models nor clocks. Every ratio is formed over the same observations of one run.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import numpy as np
from vla_cache_ros.caching.gates import VlaCacheGate
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.costs import StepWork
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.roofline import Machine
from vla_cache_ros.evaluation.bench.variants import GREEDY
from vla_cache_ros.evaluation.bench.variants import HF
from vla_cache_ros.evaluation.bench.variants import JACOBI
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.closed_loop import STAGES
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE

ROUNDING = 1e-4  # normalised units: more than float32 loses on the way, less than a bin


@dataclass(frozen=True)
class Sample:
    """
    Hold one step of one variant.

    episode, step: which observation. text: tokens of the prompt after BOS. patches: active ones
    per camera. normalized: the actions `[C, A]`. passes: decoder passes after the prefill.
    """

    episode: int
    step: int
    text: int
    latency_ms: Mapping[str, float]
    reuse: float
    refresh: str
    patches: tuple[int, ...]
    passes: int
    normalized: np.ndarray


def make_sample(
    variant: Variant,
    vla: LoadedVLA,
    observation: Observation,
    episode: int,
    step: int,
    chunk: ActionChunk,
    report: StepReport,
) -> Sample:
    """Return what is kept of one step."""
    patches = report.active.reshape(vla.config.cameras, -1).sum(1)
    return Sample(
        episode=episode,
        step=step,
        text=len(vla.prompt_ids(observation.instruction)) - 1,
        latency_ms=dict(report.latency_ms),
        reuse=report.reuse,
        refresh=report.refresh,
        patches=tuple(int(count) for count in patches),
        passes=report.passes,
        normalized=chunk.normalized,
    )


def step_work(variant: Variant, sample: Sample, costs: Costs) -> StepWork:
    """Return what a step computed, from its report."""
    layout = costs.layout
    entering, whole = sum(sample.patches), variant.gate == HF or bool(sample.refresh)
    fixed = layout.used(sample.text) - layout.visual_tokens
    guesses = layout.actions - 1 if variant.decoding == JACOBI else 0
    read = layout.actions
    if not costs.config.bidirectional:
        # BOS is computed once an episode, and of the action what is guessed
        fixed, read = sample.text + int(whole) + guesses, 1 + guesses
    return StepWork(
        patches=(PATCHES_PER_IMAGE,) * layout.cameras if whole else sample.patches,
        visual=entering if whole else (1 - sample.reuse) * layout.visual_tokens,
        entering=entering,
        fixed=fixed,
        visible=layout.used(sample.text) - _empty_actions(costs),
        passes=sample.passes,
        rows_a_pass=guesses or 1,
        probed=sample.text if variant.gate == VlaCacheGate.name else 0,
        read=read if variant.capture else None,
    )


def summarize(
    samples: Mapping[Variant, Sequence[Sample]],
    costs: Costs,
    machine: Machine,
    memory: Mapping[Variant, Mapping[str, float]],
    dtype: str,
) -> dict[str, Any]:
    """
    Return the entries and checks of a benchmark as plain JSON values.

    samples: of every variant, over the same observations; an episode's first step counts apart.
    memory: per variant. Raises ValueError if a variant has no step to time or others than `hf`.
    """
    hf = next(variant for variant in samples if variant.gate == HF)
    keys = [(sample.episode, sample.step) for sample in samples[hf]]
    for variant, found in samples.items():
        if [(sample.episode, sample.step) for sample in found] != keys:
            raise ValueError(f'{variant.name}: expected the steps of {hf.name}, found others')
        if not any(sample.step for sample in found):
            raise ValueError(f'{variant.name}: expected a step to time, found first steps alone')
    totals = {variant: _latency(found)['total'] for variant, found in samples.items()}
    entries = []
    for variant, found in samples.items():
        reference = _reference(variant, samples)
        entries.append(
            {
                **_entry(variant, found, costs, machine),
                'memory_mib': dict(memory[variant]),
                'ratio_to_hf': _ratio(totals[variant], totals[hf]),
                'ratio_to_dense': reference and _ratio(totals[variant], totals[reference]),
                'agreement': _agreement(found, samples[hf], costs),
                'as_greedy': _as_greedy(variant, samples, costs),
            }
        )
    return {
        'entries': entries,
        'reference': hf.name,
        'timed_steps': sum(step > 0 for _, step in keys),
        'first_steps': sum(step == 0 for _, step in keys),
        'checks': _checks(entries, dtype),
    }


def beside(
    processes: int,
    alone: Mapping[Variant, Sequence[Sample]],
    loaded: Mapping[Variant, Sequence[Sample]],
) -> dict[str, Any]:
    """
    Return what became of the times of every variant beside so many busy processes.

    entries: p50, p95 and worst (ms) alone and busy, and how many idle medians the busy p95 takes.
    """
    entries = []
    for variant, found in alone.items():
        idle, busy = _spread(found), _spread(loaded[variant])
        ratio = busy['p95'] / idle['p50']
        entries.append({'name': variant.name, 'idle': idle, 'busy': busy, 'p95_to_idle': ratio})
    return {'processes': processes, 'entries': entries}


def _spread(found: Sequence[Sample]) -> dict[str, float]:
    totals = [sample.latency_ms['total'] for sample in found if sample.step]
    return {**percentiles(totals), 'worst': max(totals)}


def _entry(
    variant: Variant, found: Sequence[Sample], costs: Costs, machine: Machine
) -> dict[str, Any]:
    timed = [sample for sample in found if sample.step]
    work = [step_work(variant, sample, costs) for sample in timed]
    stages = [costs.stages(step) for step in work]
    floors = [machine.floors_ms(stage) for stage in stages]
    latency = _latency(found)
    totals = [sum(stage.values(), Work()) for stage in stages]
    floor = {name: float(np.median([f[name] for f in floors])) for name in floors[0]}
    return {
        'name': variant.name,
        'gate': variant.gate,
        'requested_reuse': variant.reuse,
        'capture': variant.capture,
        'decoding': variant.decoding or None,
        'exact': variant.exact,
        'latency_ms': latency,
        'mean_ms': _mean(sample.latency_ms['total'] for sample in timed),
        'first_step_ms': percentiles([s.latency_ms['total'] for s in found if not s.step]),
        'hz': 1e3 / latency['total']['p50'],
        'reuse': _mean(sample.reuse for sample in timed),
        'refreshes': sum(bool(sample.refresh) for sample in timed),
        'rows': _mean(step.rows for step in work),
        'passes': _mean(sample.passes for sample in timed),
        'gmacs': _mean(total.macs for total in totals) / 1e9,
        'mbytes': _mean(total.moved for total in totals) / 1e6,
        'floor_ms': floor,
        'ratio_to_floor': latency['total']['p50'] / floor['total'],
    }


def _reference(variant: Variant, among: Mapping[Variant, Any]) -> Variant | None:
    """Return the dense captured variant that decodes as this one does, None for the loop."""
    if variant.gate == HF:
        return None
    return next(
        other
        for other in among
        if other.gate == 'dense' and other.capture and other.decoding == variant.decoding
    )


def _latency(found: Sequence[Sample]) -> dict[str, dict[str, float]]:
    timed = [sample.latency_ms for sample in found if sample.step]
    return {stage: percentiles([laps[stage] for laps in timed]) for stage in STAGES}


def _ratio(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one[name] / other[name] for name in ('p50', 'p95')}


def _agreement(
    found: Sequence[Sample], plain: Sequence[Sample], costs: Costs
) -> dict[str, float | int | None]:
    """
    Compare the actions with those of the plain loop, first steps included.

    tokens: how many of the discrete action's numbers are equal, of `of`, None for others.
    """
    pairs = [(a.normalized, b.normalized) for a, b in zip(found, plain, strict=True)]
    difference = max(float(np.abs(a - b).max()) for a, b in pairs)
    config = costs.config
    if config.head is not None or (config.oft is not None and config.oft.action_head == 'l1'):
        return {'max_difference': difference, 'tokens': None, 'of': None}
    equal = sum(int((a == b).sum()) for a, b in pairs)
    return {
        'max_difference': difference,
        'tokens': equal,
        'of': sum(int(a.size) for a, _ in pairs),
    }


def _as_greedy(
    variant: Variant, samples: Mapping[Variant, Sequence[Sample]], costs: Costs
) -> dict[str, float | int | None] | None:
    """Compare a draft that was checked with decoding one by one, None without such a pair."""
    other = samples.get(replace(variant, decoding=GREEDY))
    if variant.decoding != JACOBI or other is None:
        return None
    return _agreement(samples[variant], other, costs)


def _checks(entries: Sequence[Mapping[str, Any]], dtype: str) -> dict[str, Any]:
    """
    Say which variants differ that should not: exact ones from the loop, jacobi from greedy.

    That is asserted in float32 alone.
    """
    far = []
    for entry in entries:
        wanted = [entry['agreement']] if entry['exact'] else []
        wanted += [entry['as_greedy']] if entry['as_greedy'] else []
        if not all(map(_same, wanted)):
            far.append(entry['name'])
    asserted = dtype == 'float32'
    return {'asserted': asserted, 'differ': far, 'ok': not (asserted and far)}


def _same(agreement: Mapping[str, Any]) -> bool:
    if agreement['of']:
        return agreement['tokens'] == agreement['of']
    return agreement['max_difference'] <= ROUNDING


def _empty_actions(costs: Costs) -> int:
    return 0 if costs.config.bidirectional else costs.layout.actions


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
