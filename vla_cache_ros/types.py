# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The values that walk through the corridor: observation, plan, action chunk, report.

Plain frozen records on numpy arrays. This module knows neither torch nor ROS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

import numpy as np


@dataclass(frozen=True)
class Observation:
    """
    Hold what the robot perceives at one control step.

    images: one uint8 RGB array [H, W, 3] per camera, primary camera first, then wrist.
    instruction: what the robot shall do, in natural language.
    proprio: raw proprioception [P] in SI units, or None for models that use none.
    """

    images: tuple[np.ndarray, ...]
    instruction: str
    proprio: np.ndarray | None = None


@dataclass(frozen=True)
class ActionChunk:
    """
    Hold the actions of one inference, first to execute first.

    actions: float64 [C, A] in the units of the training data (un-normalised).
    normalized: float64 [C, A] as the model emitted them, in [-1, 1].
    """

    actions: np.ndarray
    normalized: np.ndarray


@dataclass(frozen=True)
class StepPlan:
    """
    Say which visual tokens are recomputed at this step.

    active: bool [V], True = recompute; camera-major raster order.
    layers: (layer index, bool [V]) pairs: from that decoder layer on only these tokens stay
        active. Each set is a subset of the one before (VLA-Cache's layer-wise schedule).
    refresh: why everything is recomputed ('' when the gate chose the set).
    scores: float32 [V], saliency per token as the gate saw it, None if it keeps none.
    """

    active: np.ndarray
    layers: tuple[tuple[int, np.ndarray], ...] = ()
    refresh: str = ''
    scores: np.ndarray | None = None


@dataclass(frozen=True)
class StepReport:
    """
    Tell what one step did and what it cost.

    step: index of the step in its episode, from 0.
    reuse: share of visual token-layers taken from the cache, 0 to 1.
    active: bool [V], the tokens recomputed at the first layer.
    ages: int [V], steps since each visual token was last produced (0 = this step).
    refresh: why everything was recomputed, '' if it was not.
    latency_ms: wall-clock ms of `preprocess`, `gate`, `vision`, `decoder`, `decode`, `total`; on a
        GPU, which runs the towers during the gate, also `wait`: how long it was idle for the gate.
    passes: of the decoder, after the first, to decode action tokens; 0 for continuous actions.
    """

    step: int
    gate: str
    reuse: float
    active: np.ndarray
    ages: np.ndarray
    refresh: str = ''
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    passes: int = 0
