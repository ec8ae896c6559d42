# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gate that reuses every visual token between two full steps: the whole prefix, each n-th step.

What others ship as a frame cache, and what a choice of tokens has to beat. Looks at no pixel.
"""

from typing import Self

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import AskedGate
from vla_cache_ros.caching.gates.base import check_parameters
from vla_cache_ros.caching.gates.base import DEFAULT_REUSE
from vla_cache_ros.caching.gates.base import refresh_reason
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.types import StepPlan


class EveryGate(AskedGate):
    """
    Recompute everything at every n-th step and nothing in between.

    The share asked for gives n: (n - 1) / n is reused, so 0.5 is every second step, 0.67 every
    third, 0.75 every fourth; other shares take the nearest n, and none above max_age + 1.
    Recovery has no meaning here: no token outlives a full step.
    """

    name = 'every'
    blind = True

    @classmethod
    def make(cls, reuse: float | None, max_age: int, recovery: float, seed: int) -> Self:
        """Return the gate; recovery is checked, but like the seed has no effect on it."""
        check_parameters(reuse, max_age, recovery)
        return cls(DEFAULT_REUSE if reuse is None else reuse, max_age)

    @property
    def steps(self) -> int:
        """Return n: how many steps there are from one full step to the next."""
        return round(1 / max(1 - self.reuse, 1 / (self.max_age + 1)))

    def reset(self) -> None:
        """Forget nothing: what counts the steps is the age of the tokens in the cache."""

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """
        Return the plan for images `[cams, S, S, 3]` uint8 against the episode cache.

        A full step whose turn it is names no reason: the gate chose it.
        """
        present = cache.present  # [V]
        if not cache.valid:
            return full_plan(present.size, refresh_reason(cache))
        if not present.all() or cache.ages().max() >= self.steps:
            return full_plan(present.size, '')
        return StepPlan(np.zeros(present.size, dtype=bool))
