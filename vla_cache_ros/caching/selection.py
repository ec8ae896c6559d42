# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose which visual tokens are recomputed: budget, hard age limit, recovery, in one place.

Works on flat arrays over all visual tokens of all cameras, so the budget is shared: a still camera
gives its tokens to a moving one. Knows no pixels, no model and no reason why a token scored high.

Ages: a token recomputed in the previous step has age 1 when the next step is planned. A token may
be reused while its age is at most `max_age`; older ones are recomputed, always.
"""

import math

import numpy as np


def budget_size(tokens: int, reuse: float, max_age: int) -> int:
    """
    Return how many of `tokens` a step recomputes: round(tokens * (1 - reuse)), or more.

    Refreshing every token once in max_age + 1 steps takes ceil(tokens / (max_age + 1)) a step, so
    the budget is never less: the age limit wins over a reuse above max_age / (max_age + 1).
    """
    return max(round(tokens * (1 - reuse)), refresh_quota(tokens, max_age))


def refresh_quota(tokens: int, max_age: int) -> int:
    """Return the tokens a step must refresh so that none of `tokens` outlives `max_age`."""
    return math.ceil(tokens / (max_age + 1))


def due(ages: np.ndarray, max_age: int, rank: np.ndarray) -> np.ndarray:
    """
    Return the mask [V] of tokens to refresh now so that the age limit holds at every later step.

    Tokens refreshed together (a full step) also expire together. Recomputing them only on the
    last day would break the budget in that step, so they are spread: with a quota of q a step, at
    most (h + 1) * q tokens may expire within h steps, and what exceeds that is taken now, the
    oldest first. From a full refresh on this never asks for more than q a step.

    ages: [V] int, age of each token as defined above.
    max_age: largest age that may be reused.
    rank: [V] order of recomputation among equally old tokens, small first.
    """
    left = max_age - ages  # [V] further steps in which a token may be reused; < 0: expired
    quota = refresh_quota(ages.size, max_age)
    # counts[h] = tokens that expire within h steps: not reusable any more in step now + h
    expiry = np.maximum(np.minimum(left, max_age) + 1, 0)
    counts = np.cumsum(np.bincount(expiry, minlength=max_age + 2))
    excess = counts[: max_age + 1] - np.arange(max_age + 1) * quota
    mask = np.zeros(ages.size, dtype=bool)
    taken = int(excess.max())
    if taken > 0:
        # one whole number holds both keys: sorted several times faster than two arrays
        mask[np.argsort(left * ages.size + rank)[:taken]] = True
    return mask


def select(
    scores: np.ndarray,
    ages: np.ndarray,
    budget: int,
    max_age: int,
    recovery: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """
    Return the mask [V] of the tokens to recompute; exactly `budget` of them are True.

    In this order: tokens due by age, the highest scores, and `recovery` (a share of what stays
    cached, inside the budget) drawn at random from the tokens that would have stayed cached.
    Equal scores (an unchanged image) go to the oldest token, then to chance, never to the top
    image rows. Only a cache whose ages did not come from such plans can have more tokens due than
    the budget holds; the age limit wins then too.

    scores: [V] float, high = recompute.
    ages: [V] int, age of each token.
    budget: number of tokens to recompute.
    max_age: largest age that may be reused.
    recovery: share of the cached tokens recomputed at random.
    generator: source of chance; the same state gives the same mask.
    """
    order = _order(scores, ages, generator.random(scores.size))
    rank = np.empty(scores.size, dtype=np.int64)
    rank[order] = np.arange(scores.size)
    mask = due(ages, max_age, rank)
    free = budget - np.count_nonzero(mask)
    if free <= 0:
        return mask
    random_share = min(free, round(recovery * (scores.size - budget)))
    mask[order[~mask[order]][: free - random_share]] = True
    mask[generator.choice(np.flatnonzero(~mask), random_share, replace=False)] = True
    return mask


def _order(scores: np.ndarray, ages: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Return the order `[V]` of recomputation: by score, then by age, then by chance."""
    falling = -scores
    order = np.argsort(falling)
    ranked = falling[order]
    if (ranked[:-1] < ranked[1:]).all():
        return order
    return np.lexsort((chance, -ages, falling))  # something is equal, or not a number
