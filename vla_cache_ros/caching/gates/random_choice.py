# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gate that recomputes a random share of the tokens: what any choice has to beat.

Looks at no pixel. Age limit and budget hold as for every gate.
"""

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import BudgetGate


class RandomGate(BudgetGate):
    """Recompute a seeded random choice; recovery changes nothing, all of it is random."""

    name = 'random'
    blind = True

    def scores(self, patches: np.ndarray, cache: EpisodeCache) -> np.ndarray:
        """Return random scores `[V]`."""
        return self.generator.random(len(patches))
