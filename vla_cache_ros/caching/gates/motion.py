# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gate that recomputes the tokens whose pixels changed most since they were produced.

A patch is compared with the pixels that its cached keys and values came from, not with the last
frame: a drift too slow to see from frame to frame adds up here until the token is recomputed.
Knows nothing of the task; light and camera noise count as change like motion does.
"""

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import BudgetGate
from vla_cache_ros.caching.patches import mean_difference


class MotionGate(BudgetGate):
    """Recompute the top share by mean absolute difference in grey levels, over all cameras."""

    name = 'motion'

    def scores(self, patches: np.ndarray, cache: EpisodeCache) -> np.ndarray:
        """Return the mean absolute difference `[V]` to the producing pixels, in grey levels."""
        return mean_difference(patches, cache.pixels)
