# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn watched episodes into plain JSON figures: per inference, and reuse per phase over episodes.

Draws and prints nothing.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
from vla_cache_ros.environments.tabletop.phase import CONTACT
from vla_cache_ros.environments.tabletop.phase import QUIET
from vla_cache_ros.evaluation.episode.trace import Inference
from vla_cache_ros.evaluation.episode.trace import Trace
from vla_cache_ros.reports.statistics import paired_bootstrap_difference

QUANTILES = {'min': 0, 'p25': 25, 'p50': 50, 'p75': 75, 'p95': 95, 'max': 100}


def inference_record(inference: Inference, cameras: int) -> dict[str, Any]:
    """
    Return one inference as a plain JSON record.

    active: recomputed tokens per camera. active_by_score: how many of them score higher than
    every reused token.
    """
    report, by_score = inference.report, inference.by_score
    return {
        'step': inference.step,
        'time_s': inference.time,
        'phase': inference.phase,
        'height_m': inference.height,
        'clearance_m': inference.clearance,
        'reuse': float(report.reuse),
        'ratio': inference.ratio,
        'refresh': report.refresh,
        'active': inference.active.reshape(cameras, -1).sum(axis=1).tolist(),
        'active_by_score': None if by_score is None else int(by_score.sum()),
        'age_mean': float(report.ages.mean()),
        'age_max': int(report.ages.max()),
        'score_quantiles': _quantiles(inference.scores),
        'action_difference': inference.difference,
        'translation_difference_mm': inference.translation,
        'latency_ms': {stage: float(value) for stage, value in report.latency_ms.items()},
        'dense_ms': inference.dense_ms,
    }


def trace_record(trace: Trace, cameras: int) -> dict[str, Any]:
    """Return one episode as a plain JSON record, with every inference in `trace`."""
    return {
        **trace.episode.record(),
        'instruction': trace.instruction,
        'trace': [inference_record(inference, cameras) for inference in trace.inferences],
    }


def phase_figures(traces: Sequence[Trace]) -> dict[str, Any]:
    """
    Return mean reuse in quiet and in contact phases: of `cached` inferences and of `all`.

    `chosen` is the ratio where the gate chose one: unlike reuse it leaves out what an episode's
    second step adds to its first. Each has, per phase, the mean over its inferences and their
    number. `difference` is quiet minus contact over episodes, with a paired bootstrap interval; an
    episode counts where it has both phases (`per_episode`: seed and its two means). Without such
    an episode it is None.
    """
    return {kind: _phase_figures(traces, value) for kind, value in _KINDS.items()}


_KINDS: dict[str, Callable[[Inference], float | None]] = {
    'chosen': lambda inference: inference.ratio,
    'cached': lambda inference: None if inference.report.refresh else inference.report.reuse,
    'all': lambda inference: inference.report.reuse,
}


def _phase_figures(
    traces: Sequence[Trace], value: Callable[[Inference], float | None]
) -> dict[str, Any]:
    reuse: dict[str, list[float]] = {QUIET: [], CONTACT: []}
    pairs = []
    for trace in traces:
        own: dict[str, list[float]] = {QUIET: [], CONTACT: []}
        for inference in trace.inferences:
            found = value(inference)
            if found is not None:
                own[inference.phase].append(float(found))
        for name, values in own.items():
            reuse[name] += values
        if all(own.values()):
            means = {name: float(np.mean(values)) for name, values in own.items()}
            pairs.append({'seed': trace.episode.seed, **means})
    figures: dict[str, Any] = {
        name: {'mean': float(np.mean(values)) if values else None, 'inferences': len(values)}
        for name, values in reuse.items()
    }
    figures |= {'difference': None, 'difference_ci95': None, 'per_episode': pairs}
    if pairs:
        difference, low, high = paired_bootstrap_difference(
            [pair[QUIET] for pair in pairs], [pair[CONTACT] for pair in pairs]
        )
        figures |= {'difference': difference, 'difference_ci95': [low, high]}
    return figures


def phase_line(figures: dict[str, Any]) -> str:
    """Return one side of `phase_figures` as a sentence."""
    parts = [
        f'{name} {figures[name]["mean"]:.1%}' if figures[name]['inferences'] else f'{name}: none'
        for name in (QUIET, CONTACT)
    ]
    if figures['difference'] is not None:
        low, high = (100 * value for value in figures['difference_ci95'])
        parts.append(
            f'difference {100 * figures["difference"]:+.1f} points '
            f'(95 % {low:+.1f} to {high:+.1f}, {len(figures["per_episode"])} episodes)'
        )
    return ', '.join(parts)


def _quantiles(scores: np.ndarray | None) -> dict[str, float] | None:
    if scores is None:
        return None
    values = np.percentile(scores, list(QUANTILES.values()))
    return dict(zip(QUANTILES, map(float, values), strict=True))
