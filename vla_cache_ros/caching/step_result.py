# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the engine returns of a step. Knows neither units nor gates."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

import numpy as np


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
