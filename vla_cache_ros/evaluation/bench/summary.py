# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn the samples of a benchmark into its figures: percentiles, work, floors, ratios, agreement.

Knows neither models nor clocks. Every ratio is formed over the same observations of one run.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from vla_cache_ros.action_distance import largest_difference
from vla_cache_ros.caching.gates import VlaCacheGate
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.costs import StepWork
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.roofline import Machine
from vla_cache_ros.evaluation.bench.sampling import Sample
from vla_cache_ros.evaluation.bench.variants import GREEDY
from vla_cache_ros.evaluation.bench.variants import HF
from vla_cache_ros.evaluation.bench.variants import JACOBI
from vla_cache_ros.evaluation.bench.variants import LOOPS
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.closed_loop import STAGES
from vla_cache_ros.reports.statistics import percentiles

ROUNDING = 1e-4  # normalised units: more than float32 loses on the way, less than a bin


def step_work(variant: Variant, sample: Sample, costs: Costs) -> StepWork:
    """Return what a step computed, from its report."""
    layout = costs.layout
    if costs.config.flow and variant.gate in LOOPS:
        return costs.plain_flow()
    entering, whole = sum(sample.active), variant.gate == HF or bool(sample.refresh)
    fixed = layout.used(sample.text) - layout.visual_tokens
    guesses = layout.actions - 1 if variant.decoding == JACOBI else 0
    read = layout.actions
    if not costs.config.bidirectional:
        # BOS is computed once an episode, and of the action what is guessed
        fixed, read = sample.text + int(whole) + guesses, 1 + guesses
    return StepWork(
        active=(costs.config.tokens,) * layout.cameras if whole else sample.active,
        visual=entering if whole else (1 - sample.reuse) * layout.visual_tokens,
        entering=entering,
        fixed=fixed,
        # a causal row sees no action slot that is still empty
        visible=layout.used(sample.text) - (0 if costs.config.bidirectional else layout.actions),
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
    entries = [_entry(variant, found, costs, machine) for variant, found in samples.items()]
    totals = {v: e['latency_ms']['total'] for v, e in zip(samples, entries, strict=True)}
    for (variant, found), entry in zip(samples.items(), entries, strict=True):
        reference, greedy = _reference(variant, samples), replace(variant, decoding=GREEDY)
        checked = variant.decoding == JACOBI and greedy in samples
        entry |= {
            'memory_mib': dict(memory[variant]),
            'ratio_to_hf': _ratio(totals[variant], totals[hf]),
            'ratio_to_dense': reference and _ratio(totals[variant], totals[reference]),
            'agreement': _agreement(found, samples[hf], costs),
            # a draft that was checked is what decoding one by one gives
            'as_greedy': _agreement(found, samples[greedy], costs) if checked else None,
        }
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


def timing(found: Sequence[Sample], stages: Sequence[str] = STAGES) -> dict[str, Any]:
    """Return times, share reused and passes of one variant; an episode's first step is apart."""
    timed = [sample for sample in found if sample.step]
    laps = [sample.latency_ms for sample in timed]
    return {
        'latency_ms': {name: percentiles([lap.get(name, 0.0) for lap in laps]) for name in stages},
        'mean_ms': _mean(lap['total'] for lap in laps),
        'first_step_ms': percentiles([s.latency_ms['total'] for s in found if not s.step]),
        'reuse': _mean(sample.reuse for sample in timed),
        'passes': _mean(sample.passes for sample in timed),
    }


def _entry(
    variant: Variant, found: Sequence[Sample], costs: Costs, machine: Machine
) -> dict[str, Any]:
    timed = [sample for sample in found if sample.step]
    work = [step_work(variant, sample, costs) for sample in timed]
    stages = [costs.stages(step) for step in work]
    totals = [sum(stage.values(), Work()) for stage in stages]
    floors = [machine.floors_ms(stage) for stage in stages]
    floor = {name: float(np.median([f[name] for f in floors])) for name in floors[0]}
    times = timing(found)
    p50 = times['latency_ms']['total']['p50']
    return {
        'name': variant.name,
        'gate': variant.gate,
        'requested_reuse': variant.reuse,
        'capture': variant.capture,
        'decoding': variant.decoding or None,
        'exact': variant.exact,
        **times,
        'hz': 1e3 / p50,
        'refreshes': sum(bool(sample.refresh) for sample in timed),
        'rows': _mean(step.rows for step in work),
        'gmacs': _mean(total.macs for total in totals) / 1e9,
        'mbytes': _mean(total.moved for total in totals) / 1e6,
        'floor_ms': floor,
        'ratio_to_floor': p50 / floor['total'],
    }


def _reference(variant: Variant, among: Iterable[Variant]) -> Variant | None:
    """Return the dense captured variant that decodes as this one does, None for the loop."""
    if variant.gate in LOOPS:
        return None
    dense = (other for other in among if other.gate == 'dense' and other.capture)
    return next(other for other in dense if other.decoding == variant.decoding)


def _ratio(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one[name] / other[name] for name in ('p50', 'p95')}


def _agreement(
    found: Sequence[Sample], plain: Sequence[Sample], costs: Costs
) -> dict[str, float | int | None]:
    """
    Compare the actions with those of another variant, first steps included.

    tokens: how many of the discrete action's numbers are equal, of `of`, None for others.
    """
    ours, theirs = (np.stack([s.normalized for s in side]) for side in (found, plain))
    config = costs.config
    regressed = config.oft is not None and config.oft.action_head == 'l1'
    discrete = config.head is None and not regressed
    return {
        'max_difference': largest_difference(ours, theirs),
        'tokens': int((ours == theirs).sum()) if discrete else None,
        'of': ours.size if discrete else None,
    }


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


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
