# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the engine makes a step of, and what it returns of it. Knows neither units nor gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

import numpy as np
from torch import Tensor
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.types import StepPlan
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.flow.guidance import Guidance


@dataclass(frozen=True)
class StepInputs:
    """
    Hold what one step computes from, once it has been checked.

    pixel_values: images as the engine encodes them. first: whether the cache holds nothing.
    features: what `look` returned, None where towers wait for the plan. absent: bool `[V]`, tokens
    that no row may see. clock: of the stages, once they begin. The rest is as
    `SlotEngine.step` takes it.
    """

    pixel_values: Tensor | np.ndarray
    prompt: PromptSlots
    proprio: np.ndarray | None
    plan: StepPlan
    first: bool
    probe_layers: tuple[int, ...]
    features: Tensor | None
    absent: np.ndarray
    guidance: Guidance | None = None
    clock: StageClock | None = None


@dataclass(frozen=True)
class StepResult:
    """
    Hold the outcome of one step.

    normalized: float64 `[C, A]` in [-1, 1]. tokens: the action token ids `[C * A]` of a
    discrete model, else None. reuse: share of visual token-layers taken from the cache. active:
    bool `[V]`, tokens recomputed at the first layer. ages: int `[V]`, 0 = produced now.
    refresh: why everything was recomputed, or ''. latency_ms: `vision`, `decoder`,
    `decode`, and `wait` of a recorded step: how long the GPU was idle until the gate had chosen.
    passes: of the decoder after the first, for action tokens.
    """

    normalized: np.ndarray
    tokens: np.ndarray | None
    reuse: float
    active: np.ndarray
    ages: np.ndarray
    refresh: str
    latency_ms: dict[str, float] = field(default_factory=dict)
    passes: int = 0

    def report(self, step: int, gate: str, latency_ms: Mapping[str, float]) -> StepReport:
        """Tell of the step, its index, the gate's name and how long each part took."""
        return StepReport(
            step=step,
            gate=gate,
            reuse=self.reuse,
            active=self.active,
            ages=self.ages,
            refresh=self.refresh,
            passes=self.passes,
            latency_ms=latency_ms,
        )
