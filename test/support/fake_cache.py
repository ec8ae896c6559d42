# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A cache for tests of gates: the provenance of the episode cache, without keys and values."""

from types import SimpleNamespace

import numpy as np
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import produced
from vla_cache_ros.caching.provenance import Provenance
from vla_cache_ros.types import StepPlan


class FakeCache(Provenance):
    """Keep provenance as the episode cache does: pixels and age of each visual token."""

    def __init__(self, tokens: int = 512):
        super().__init__(tokens)
        self.attention = None

    def apply(self, images: np.ndarray, plan: StepPlan) -> np.ndarray:
        """Take over a step as the engine would; returns the tokens that were produced."""
        done = produced(plan)
        self.commit(done, patchify(images))
        return done

    def invalidate(self, cause: str) -> None:
        self.valid, self.cause = False, cause
        self.produced_step.fill(-1)

    def attend(self, rows: np.ndarray, entropy: np.ndarray) -> None:
        self.attention = SimpleNamespace(
            layers=tuple(range(len(rows))), rows=rows, entropy=entropy
        )
