# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stand in for the episode cache where a gate is tested without a model."""

from types import SimpleNamespace

import numpy as np
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.types import StepPlan


class FakeCache:
    """Keep provenance as the episode cache does: pixels and age of each visual token."""

    def __init__(self, tokens: int = 512):
        self.valid = False
        self.cause = ''
        self.pixels = np.zeros((tokens, 588), np.uint8)
        self.produced = np.zeros(tokens, dtype=np.int64)
        self.step = 0
        self.attention = None

    def ages(self) -> np.ndarray:
        return self.step - self.produced

    def apply(self, images: np.ndarray, plan: StepPlan) -> np.ndarray:
        """Take over a step as the engine would; returns the tokens that were produced."""
        produced = plan.layers[-1][1] if plan.layers else plan.active
        self.pixels[produced] = patchify(images)[produced]
        self.produced[produced] = self.step
        self.step += 1
        self.valid = True
        return produced

    def invalidate(self, cause: str) -> None:
        self.valid, self.cause = False, cause

    def attend(self, rows: np.ndarray, entropy: np.ndarray) -> None:
        self.attention = SimpleNamespace(
            layers=tuple(range(len(rows))), rows=rows, entropy=entropy
        )
