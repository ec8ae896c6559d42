# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn counts and samples of an evaluation into figures with their 95 % intervals.

Knows numbers only: not what an episode, a gate or a latency is. Paired functions take their
samples in the same order (entry i of all comes from the same seed); they cannot check that. SciPy
is imported where it is needed: it takes a second, and percentiles need none of it.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math

import numpy as np

_TAIL = 2.5  # % beyond either end of an interval
_BATCH = 2**22  # numbers that are drawn at a time: all resamples at once would be gigabytes


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """
    Return the Wilson score interval of a success share.

    Unlike the normal approximation it stays inside [0, 1] and has a width at 0 and at all
    successes. Source: Wilson 1927; Brown, Cai, DasGupta 2001.

    Raises ValueError: unless trials >= 1 and 0 <= successes <= trials.
    """
    from scipy.stats import binomtest

    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f'wilson_interval needs trials >= 1 and 0 <= successes <= trials, '
            f'got {successes} of {trials}'
        )
    interval = binomtest(successes, trials).proportion_ci(method='wilson')
    return float(interval.low), float(interval.high)


def paired_bootstrap_difference(
    first: Sequence[float], second: Sequence[float], resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """
    Return (difference, low, high) of mean(first) - mean(second) over paired samples.

    Percentile bootstrap over pairs: a pair is drawn as a whole, so what both share (an easy
    seed) cancels. Deterministic for a given seed.

    Raises ValueError: lengths differ, no pair, or a value is not finite.
    """
    a, b = _paired(first, second, np.float64)

    def difference(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return (a - b).mean(axis)

    found = _resampled((a, b), difference, resamples, seed)
    low, high = np.percentile(found, [_TAIL, 100 - _TAIL])
    return float(difference(a, b)), float(low), float(high)


def bootstrap_sums(
    rows: Sequence[Sequence[float]],
    statistic: Callable[..., np.ndarray],
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """
    Return (value, low, high) of a statistic of the sums of columns, such as a ratio of two.

    Percentile bootstrap over rows, each drawn as a whole. Deterministic for a given seed. The
    bounds are samples, not interpolated; where a statistic is undefined (0 / 0) it counts as the
    least for the lower one and the most for the upper one.

    rows: `[n, k]`, one sample each.
    statistic: takes k sums `[...]` and returns `[...]`; may divide by zero.

    Raises ValueError: no row, rows of different lengths, or a value is not finite.
    """
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(
            f'bootstrap needs at least 1 row of finite values, got shape {values.shape}'
        )

    def sums(*columns: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.stack([column.sum(axis) for column in columns])

    drawn = _resampled(values.T, sums, resamples, seed)  # [k, resamples]
    with np.errstate(divide='ignore', invalid='ignore'):
        value, found = statistic(*values.sum(0)), statistic(*drawn)
    undefined = np.isnan(found)
    low = np.percentile(np.where(undefined, -np.inf, found), _TAIL, method='lower')
    high = np.percentile(np.where(undefined, np.inf, found), 100 - _TAIL, method='higher')
    return float(value), float(low), float(high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int, float]:
    """
    Return (only first succeeded, only second succeeded, two-sided exact p).

    The exact binomial form is used: discordant pairs are few where policies are close, which is
    where the chi-square form is wrong. p = 1 where no pair is discordant.

    Raises ValueError: lengths differ or no pair.
    """
    from scipy.stats import binomtest

    a, b = _paired(first, second, bool)
    only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
    if not only_first + only_second:
        return 0, 0, 1.0
    return only_first, only_second, float(binomtest(only_first, only_first + only_second).pvalue)


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


def finite(value: float) -> float | None:
    """Return a number as JSON can hold it: None for infinity and NaN."""
    return float(value) if math.isfinite(value) else None


def _paired(first: Sequence, second: Sequence, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(first, dtype=dtype), np.asarray(second, dtype=dtype)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0 or not np.isfinite([a, b]).all():
        raise ValueError(
            'paired samples need two lists of equal length >= 1 and finite values, got shapes '
            f'{a.shape} and {b.shape}'
        )
    return a, b


def _resampled(
    columns: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], resamples: int, seed: int
) -> np.ndarray:
    """Return a statistic `[...]` of so many resamples `[..., resamples]`, rows drawn whole."""
    from scipy.stats import bootstrap

    count = len(columns[0])
    if count == 1:  # which SciPy refuses: every resample is the one sample
        return np.asarray(statistic(*columns))[..., None]
    return bootstrap(
        columns,
        statistic,
        n_resamples=resamples,
        batch=max(1, _BATCH // (count * len(columns))),
        paired=True,
        method='percentile',
        rng=seed,
    ).bootstrap_distribution
