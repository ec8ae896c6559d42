# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Remember where each cached visual token came from: the step and the pixels that produced it.

All that a gate may read of the past. Knows no keys, no values and no model.
"""

import numpy as np
from vla_cache_ros.caching.patches import PATCH_VALUES


class Provenance:
    """
    Hold one episode's provenance.

    step: completed steps. valid: whether reuse is allowed. cause: why not, '' before the first
    step. produced_step `[V]` and pixels uint8 `[V, 588]`: the step and the patch that each visual
    token was last produced from at every layer.
    """

    def __init__(self, tokens: int) -> None:
        self.produced_step = np.full(tokens, -1, dtype=np.int64)
        self.pixels = np.zeros((tokens, PATCH_VALUES), dtype=np.uint8)
        self.step = 0
        self.valid = False
        self.cause = ''

    def commit(self, produced: np.ndarray, patches: np.ndarray) -> None:
        """
        End a step that succeeded: trust the cache and note what was produced.

        produced: bool `[V]`, tokens recomputed at every layer. patches: uint8 `[V, 588]`.
        """
        self.pixels[produced] = patches[produced]
        self.produced_step[produced] = self.step
        self.step += 1
        self.valid = True
        self.cause = ''

    @property
    def present(self) -> np.ndarray:
        """Return bool `[V]`: the tokens that were produced since the cache became valid."""
        return self.produced_step >= 0

    def ages(self) -> np.ndarray:
        """
        Return int `[V]`: the age of each token at the coming step, 1 if just produced.

        A token that is not present counts as older than the episode.
        """
        return self.step - self.produced_step
