# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
VLA-Cache (arXiv 2502.02175), the heuristic that learned gates are compared with.

Own code from the published algorithm: a patch is static if its raw cosine similarity is at least
0.996 and among the top 130 (one camera) or 150 a camera; static patches are reusable unless among
the top 120 (100 a camera) by the previous step's attention from text in layer 15. Each layer
reuses the share 1 - min-max entropy of its attention, upward steps damped by 0.55; sets change at
layers 2, 6, 9 and 11 and the reused set only grows; layers 0 and 1 run in full.

A decoder of L < 32 layers has layer l at max(1, round(l * L / 32)): layer 0 always runs in full,
changes that fall together are one. Camera budgets are pooled, so a still camera gives its share,
and are in proportion where a camera has fewer tokens than 256.

Faults of the published code that are not inherited:
- patches are compared with the pixels that produced the cached keys and values, never with the
  last frame (slow drift) and never a frame with itself (its OFT evaluator);
- no token outlives `max_age`, and `recovery` refreshes some at random;
- a partial share takes the most similar patches, where it kept the top rows of the image;
- a step in which nothing is reusable runs in full, where it failed;
- selection and recording of attention count in the step's time, where timing began after them.

Knows attention only as the cache recorded it. With `reuse` set, the published thresholds order the
tokens and do not bound them, and the shares of all layers are shifted alike so that the mean over
layers is the target (at most what the full layers leave): how gates are compared at equal reuse.
"""

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.base import refresh_reason
from vla_cache_ros.caching.gates.base import SeededGate
from vla_cache_ros.caching.patches import cosine_similarity
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.selection import due
from vla_cache_ros.types import StepPlan

PUBLISHED_LAYERS, PUBLISHED_TOKENS = 32, 256  # the latter of a camera
CHANGE_LAYERS = (2, 6, 9, 11)
RELEVANCE_LAYER = 15
STATIC_SIMILARITY = 0.996
GROWTH_DAMPING = 0.55
ONE_CAMERA = (130, 120)  # static, task-relevant patches
PER_CAMERA = (150, 100)  # the same for each of several cameras


class VlaCacheGate(SeededGate):
    """Reuse static patches that the instruction does not attend to, more in deeper layers."""

    name = 'vla-cache'

    def __init__(
        self,
        reuse: float | None = None,
        max_age: int = DEFAULT_MAX_AGE,
        recovery: float = DEFAULT_RECOVERY,
        seed: int = 0,
        layers: int = PUBLISHED_LAYERS,
        asking: int | None = None,
    ) -> None:
        """layers: of the decoder. asking: those of them whose text rows attend; None: all."""
        super().__init__(reuse, max_age, recovery, seed)
        self.layers = layers
        # a decoder of one layer has none: its only layer always runs in full
        changes = {scaled_layer(layer, layers) for layer in CHANGE_LAYERS}
        asking = layers if asking is None else asking
        self.change_layers = tuple(sorted(layer for layer in changes if layer < asking))
        self.relevance_layer = min(scaled_layer(RELEVANCE_LAYER, layers), asking - 1)
        self.probe_layers = tuple(range(asking))  # min-max runs over the entropy of all layers

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """Return the plan for images `[cams, S, S, 3]` uint8 against the episode cache."""
        patches = patchify(pixels)
        tokens = len(patches)
        if not cache.valid:
            return full_plan(tokens, refresh_reason(cache))
        probed = cache.attention
        if probed is None or tuple(probed.layers) != self.probe_layers:
            return full_plan(tokens, 'no_attention')
        relevance = probed.rows[self.relevance_layer]  # [V]
        shares = layer_shares(probed.entropy)  # [layers]
        similarity = cosine_similarity(patches, cache.pixels)  # [V]
        ages = cache.ages()
        chance = self.generator.random(tokens)
        similar_first = np.lexsort((chance, ages, -similarity))  # [V] token numbers
        static_top, relevant_top = ONE_CAMERA if len(pixels) == 1 else PER_CAMERA
        static = np.zeros(tokens, dtype=bool)
        static[similar_first[: static_top * tokens // PUBLISHED_TOKENS]] = True
        static &= similarity >= STATIC_SIMILARITY
        relevant = np.zeros(tokens, dtype=bool)
        relevant[
            np.argsort(-relevance, kind='stable')[: relevant_top * tokens // PUBLISHED_TOKENS]
        ] = True

        forced = self._forced(ages, similar_first)  # [V] bool
        rank_class = np.where(static, relevant.astype(int), 2)[similar_first]
        order = similar_first[np.argsort(rank_class, kind='stable')]
        order = order[~forced[order]]
        reusable = int((static & ~relevant & ~forced).sum())
        counts = self._reused_counts(shares, reusable, len(order), tokens)
        layers = []
        for layer, count in counts:
            active = np.ones(tokens, dtype=bool)
            active[order[:count]] = False
            layers.append((layer, active))
        return StepPlan(np.ones(tokens, dtype=bool), layers=tuple(layers), scores=1 - similarity)

    def _forced(self, ages: np.ndarray, similar_first: np.ndarray) -> np.ndarray:
        rank = np.empty(ages.size, dtype=np.int64)
        rank[similar_first[::-1]] = np.arange(ages.size)
        forced = due(ages, self.max_age, rank)
        fresh = np.flatnonzero(~forced)
        forced[self.generator.choice(fresh, round(self.recovery * fresh.size), False)] = True
        return forced

    def _reused_counts(
        self, shares: np.ndarray, reusable: int, limit: int, tokens: int
    ) -> list[tuple[int, int]]:
        """Return (layer, reused tokens) where the count grows, most `limit` tokens."""
        grown = np.maximum.accumulate(shares[list(self.change_layers)])  # [changes]
        depth = np.diff([*self.change_layers, self.layers])  # [changes] layers each set lasts
        counts = np.floor(grown * reusable + 0.5).astype(int)
        if self.reuse is not None and limit > 0:
            target = self.reuse * tokens * self.layers / limit
            counts = np.floor(_shifted(grown, depth, target) * limit + 0.5).astype(int)
        steps = []
        reused = 0
        for layer, count in zip(self.change_layers, counts.tolist(), strict=True):
            if count > reused:
                steps.append((layer, count))
                reused = count
        return steps


def scaled_layer(layer: int, layers: int) -> int:
    """Return where a layer of the published 32 lies in a decoder of `layers`; 1 at the least."""
    if layers >= PUBLISHED_LAYERS:
        return layer
    return max(1, round(layer * layers / PUBLISHED_LAYERS))


def layer_shares(entropy: np.ndarray) -> np.ndarray:
    """
    Return the share of reusable tokens that each layer reuses, from its attention entropy `[L]`.

    1 - min-max entropy (all 1 where all layers are equally sharp), upward steps damped.
    """
    spread = entropy.max() - entropy.min()
    if not spread > 0:
        return np.ones(entropy.size)
    shares = 1 - (entropy - entropy.min()) / spread
    for layer in range(1, shares.size):
        rise = shares[layer] - shares[layer - 1]
        if rise > 0:
            shares[layer] = shares[layer - 1] + GROWTH_DAMPING * rise
    return shares


def _shifted(shares: np.ndarray, depth: np.ndarray, target: float) -> np.ndarray:
    """Return the shares shifted alike, within 0 to 1, for sum(depth * shares) = target."""
    low, high = -1.0, 1.0
    for _ in range(50):  # bisection: the sum rises with the shift
        middle = (low + high) / 2
        reached = float((depth * np.clip(shares + middle, 0, 1)).sum())
        low, high = (middle, high) if reached < target else (low, middle)
    return np.clip(shares + high, 0, 1)
