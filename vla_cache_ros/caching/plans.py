# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check a step plan against the engine's contract and count what it saves.

Knows the plan alone: neither pixels nor why a token is active.
"""

from __future__ import annotations

import numpy as np
from vla_cache_ros.types import StepPlan


def full_plan(tokens: int, refresh: str) -> StepPlan:
    """Return the plan that recomputes every token, for a named reason ('' where it is chosen)."""
    return StepPlan(np.ones(tokens, dtype=bool), refresh=refresh)


def check_plan(
    plan: StepPlan, tokens: int, layers: int, present: np.ndarray | None = None
) -> None:
    """
    Raise ValueError unless the plan fits `tokens` and only shrinks from layer to layer.

    present: bool `[V]`, tokens that are cached, None if all are taken for it. The others may not
    be dropped on the way: the deeper layers have nothing of them to fall back on.
    """
    before, last = plan.active, -1
    for layer, active in ((-1, plan.active), *plan.layers):
        if active.dtype != bool or active.shape != (tokens,):
            raise ValueError(
                f'plan: expected bool [{tokens}] for each layer, '
                f'found {active.dtype} {list(active.shape)}'
            )
        if layer != -1 and not last < layer < layers:
            raise ValueError(f'plan: expected ascending layers below {layers}, found {layer}')
        if (active & ~before).any():
            raise ValueError(f'plan: expected layer {layer} to keep a subset of tokens')
        before, last = active, layer
    if present is not None and (plan.active & ~before & ~present).any():
        raise ValueError('plan: expected tokens that are not cached to stay at every layer')


def produced(plan: StepPlan) -> np.ndarray:
    """Return the tokens bool `[V]` that are recomputed at every layer."""
    return plan.layers[-1][1] if plan.layers else plan.active


def reuse_share(plan: StepPlan, layers: int, absent: int = 0) -> float:
    """
    Return the share of visual token-layers that the plan takes from the cache.

    absent: tokens that are neither computed nor cached.
    """
    counts = np.full(layers, np.count_nonzero(plan.active))
    for layer, active in plan.layers:
        counts[layer:] = np.count_nonzero(active)
    return 1.0 - float((counts + absent).sum()) / (layers * plan.active.size)
