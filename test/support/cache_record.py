# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep account of which observation each visual slot was made from, by other means than the cache.

The tests of its state machine hold the cache to this record after every step.
"""

from collections import Counter

import numpy as np
from vla_cache_ros.caching.plans import full_plan

NEVER = -1


def active_at(plan, layer):
    """Return the tokens that a plan computes at a layer."""
    active = plan.active
    for first, kept in plan.layers:
        active = kept if layer >= first else active
    return active


class Record:
    """
    Say what a cache holds.

    made, seen `[V]`: the observation a slot was last computed from at every layer, and at the
    first; NEVER where nothing of it may be used. when `[V]`: the step of the former.
    """

    def __init__(self, tokens, layers):
        self.tokens, self.layers = tokens, layers
        self.step, self.valid, self.cause = 0, False, ''
        self.invalidations = Counter()
        self._empty()

    def _empty(self):
        self.made = np.full(self.tokens, NEVER)
        self.seen = np.full(self.tokens, NEVER)
        self.when = np.full(self.tokens, NEVER)

    def invalidate(self, cause):
        self.invalidations[cause] += 1
        self.valid, self.cause = False, cause
        self._empty()
        if cause == 'episode_reset':
            self.step = 0

    def taken(self, plan):
        """Return the plan that a step on this cache takes when it is given one."""
        if self.valid or (plan.refresh and not plan.layers):
            return plan
        return full_plan(self.tokens, self.cause or 'first_step')

    def unusable(self, plan):
        """Say whether a plan reuses deeper layers of a slot that holds nothing."""
        kept = plan.layers[-1][1] if plan.layers else plan.active
        return self.valid and bool((plan.active & ~kept & (self.made == NEVER)).any())

    def apply(self, plan, observation):
        """Take over a step that succeeded; return the share it reused, and the tokens' ages."""
        present = (self.seen != NEVER) | plan.active
        by_layer = [active_at(plan, layer) for layer in range(self.layers)]
        reused = sum(int((present & ~active).sum()) for active in by_layer)
        self.seen[by_layer[0]] = observation
        self.made[by_layer[-1]], self.when[by_layer[-1]] = observation, self.step
        ages = self.step - self.when
        self.step += 1
        self.valid, self.cause = True, ''
        return reused / (self.layers * self.tokens), ages

    def check(self, cache, patches):
        """Compare with a cache; patches: of every observation `[V, 588]`."""
        assert (cache.valid, cache.cause, cache.step) == (self.valid, self.cause, self.step)
        assert cache.invalidations == self.invalidations
        assert np.array_equal(cache.present, self.made != NEVER)
        assert np.array_equal(cache.produced_step, self.when)
        assert np.array_equal(cache.ages(), self.step - self.when)
        for observation in set(self.made.tolist()) - {NEVER}:
            slots = self.made == observation
            assert np.array_equal(cache.pixels[slots], patches[observation][slots])
        if not self.valid:
            assert cache.attention is None
            layers = [buffer for layer in cache.layers for buffer in (layer.keys, layer.values)]
            assert not any(buffer.any() for buffer in [*layers, *cache.towers])
