# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Break a gate on purpose, to see whether it is noticed.

A broken gate plans as the sound one does and then has other tokens recomputed. Knows no model.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.types import StepPlan

Sabotage = Callable[[StepPlan, int], np.ndarray]


def _lowest(plan: StepPlan, _: int) -> np.ndarray:
    """Return as many tokens `[V]` as the gate chose, those that it scores lowest."""
    if plan.scores is None:
        raise ValueError('--broken inverted: expected a gate that scores tokens')
    active = np.zeros_like(plan.active)
    active[np.argsort(plan.scores, kind='stable')[: plan.active.sum()]] = True
    return active


def _last_camera_kept(plan: StepPlan, tokens: int) -> np.ndarray:
    active = plan.active.copy()
    active[-tokens:] = False
    return active


BROKEN: dict[str, Sabotage] = {
    'inverted': _lowest,
    'stuck': lambda plan, _: np.zeros_like(plan.active),
    'frozen-camera': _last_camera_kept,
}


class BrokenGate:
    """Plan as a gate does, but recompute other tokens than it chose, age limit or not."""

    def __init__(self, gate: Gate, kind: str, tokens: int = 256) -> None:
        """kind: one of BROKEN. tokens: visual tokens of a camera."""
        self._gate, self._tokens = gate, tokens
        self._sabotage = BROKEN[kind]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._gate, name)

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """Return the gate's plan where it recomputes everything, another one elsewhere."""
        plan = self._gate.plan(pixels, cache)
        if plan.refresh:
            return plan
        # a token that is nowhere would be missing, not outdated
        return replace(plan, active=self._sabotage(plan, self._tokens) | ~cache.present, layers=())
