# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gate that recomputes every token at every step: the reference that all others are held to.

Knows nothing at all: it looks at neither pixels nor cache.
"""

from typing import Self

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import check_parameters
from vla_cache_ros.caching.gates.base import refresh_reason
from vla_cache_ros.caching.patches import PATCH
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.types import StepPlan


class DenseGate:
    """Recompute everything, always."""

    name = 'dense'
    blind = True
    probe_layers: tuple[int, ...] = ()

    @classmethod
    def make(cls, reuse: float | None, max_age: int, recovery: float, seed: int) -> Self:
        """Return the gate; the shared parameters are checked, but have no effect on it."""
        check_parameters(reuse, max_age, recovery)
        return cls()

    def reset(self) -> None:
        """Forget nothing: there is nothing to forget."""

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """Return the plan that recomputes all tokens of images `[cams, S, S, 3]`."""
        cameras, height, width, _ = pixels.shape
        tokens = cameras * (height // PATCH) * (width // PATCH)
        return full_plan(tokens, '' if cache.valid else refresh_reason(cache))
