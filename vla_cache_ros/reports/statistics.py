# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn counts and samples of an evaluation into figures with their uncertainty.

Knows numbers only: not what an episode, a gate or a latency is. Paired functions take their two
samples in the same order (entry i of both comes from the same seed); they cannot check that.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from statistics import NormalDist

import numpy as np


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """
    Return the Wilson score interval of a success share.

    Unlike the normal approximation it stays inside [0, 1] and has a width at 0 and at all
    successes. Source: Wilson 1927; Brown, Cai, DasGupta 2001.

    Raises ValueError: unless trials >= 1, 0 <= successes <= trials and 0 < confidence < 1.
    """
    _check_confidence(confidence)
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f'wilson_interval needs trials >= 1 and 0 <= successes <= trials, '
            f'got {successes} of {trials}'
        )
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At the ends the bound is exactly 0 or 1; rounding would leave it a hair beside.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return low, high


def paired_bootstrap_difference(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """
    Return (difference, low, high) of mean(first) - mean(second) over paired samples.

    Percentile bootstrap over pairs: a pair is drawn as a whole, so what both share (an easy
    seed) cancels. Deterministic for a given seed.

    Raises ValueError: lengths differ, no pair, or a value is not finite.
    """
    _check_confidence(confidence)
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            f'paired samples need two lists of equal length >= 1, got shapes '
            f'{a.shape} and {b.shape}'
        )
    difference = a - b  # [n]
    if not np.isfinite(difference).all():
        raise ValueError('paired samples need finite values, got NaN or infinity')
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for index in range(resamples):  # one row at a time: n * resamples would be gigabytes
        means[index] = difference[generator.integers(0, a.size, a.size)].mean()
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(difference.mean()), float(low), float(high)


def bootstrap_sums(
    rows: Sequence[Sequence[float]],
    statistic: Callable[[np.ndarray], np.ndarray],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """
    Return (value, low, high) of a statistic of the sums of columns, such as a ratio of two.

    Percentile bootstrap over rows, each drawn as a whole. Deterministic for a given seed.

    rows: `[n, k]`, one sample each.
    statistic: takes sums `[..., k]` and returns `[...]`; may divide by zero.
    confidence: of the interval. Its bounds are samples, not interpolated; where a statistic is
        undefined (0 / 0) it counts as the least for the lower one and the most for the upper one.
    resamples: number of them.
    seed: of the random numbers.

    Raises ValueError: no row, rows of different lengths, or a value is not finite.
    """
    _check_confidence(confidence)
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f'bootstrap needs at least 1 row of finite values, got shape {values.shape}'
        )
    generator = np.random.default_rng(seed)
    sums = np.empty((resamples, values.shape[1]))
    for index in range(resamples):  # one row at a time: n * resamples would be gigabytes
        sums[index] = values[generator.integers(0, len(values), len(values))].sum(0)
    tail = 50 * (1 - confidence)
    with np.errstate(divide='ignore', invalid='ignore'):
        value, found = statistic(values.sum(0)), statistic(sums)
    undefined = np.isnan(found)
    low = np.percentile(np.where(undefined, -np.inf, found), tail, method='lower')
    high = np.percentile(np.where(undefined, np.inf, found), 100 - tail, method='higher')
    return float(value), float(low), float(high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """
    Return (only first succeeded, only second succeeded, two-sided exact p).

    The exact binomial form is used: discordant pairs are few where policies are close, which is
    where the chi-square form is wrong. p = 1 where no pair is discordant.

    Raises ValueError: lengths differ or no pair.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise ValueError(
            f'mcnemar needs two lists of equal length >= 1, got shapes {a.shape} and {b.shape}'
        )
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    discordant = only_first + only_second
    if discordant == 0:
        return 0, 0, 1.0
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return only_first, only_second, min(1.0, 2 * tail / 2**discordant)


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """
    Return {'p50', 'p95'} of the samples (linear interpolation), NaN for none.

    NaN rather than 0: a stage that was never measured must not look free.
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size == 0:
        return {'p50': math.nan, 'p95': math.nan}
    p50, p95 = np.percentile(values, [50, 95])
    return {'p50': float(p50), 'p95': float(p95)}


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f'confidence must lie strictly between 0 and 1, got {confidence}')
