# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what a solved task costs in time: motion and inference, failures included.

A policy that infers in half the time is worth little if it fails where the other succeeds, or
takes more steps. Seconds per solved task holds both: the time of all episodes, those that ended at
their limit too, divided by the number of those that succeeded. Knows no policy and no clock.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from vla_cache_ros.reports.statistics import bootstrap_sums
from vla_cache_ros.reports.statistics import finite

Outcome = tuple[float, bool]  # seconds of an episode, whether it succeeded


def seconds_per_solved(outcomes: Sequence[Outcome], inference: float) -> dict[str, Any]:
    """
    Return `seconds_per_solved`, its 95 % interval and the part that inferences take: JSON values.

    The interval is a bootstrap over episodes; its upper bound is None where a resample solved
    nothing. Everything is None where nothing was solved. inference: of all episodes together, s.
    """
    solved = sum(success for _, success in outcomes)
    if not solved:
        return {
            'seconds_per_solved': None,
            'seconds_per_solved_ci95': None,
            'inference_per_solved': None,
        }
    value, low, high = bootstrap_sums(outcomes, np.divide)
    return {
        'seconds_per_solved': value,
        'seconds_per_solved_ci95': [low, finite(high)],
        'inference_per_solved': inference / solved,
    }


def solved_ratio(reference: Sequence[Outcome], other: Sequence[Outcome]) -> dict[str, Any] | None:
    """
    Return the ratio of seconds per solved task, other to reference, below 1 is better; or None.

    The two are paired: entry i of both has the same seed, and is drawn together. None where there
    is no pair or one side solved nothing; a bound of `ci95` is None where it is not finite.
    """
    if not all(any(success for _, success in side) for side in (reference, other)):
        return None

    def ratio(s: np.ndarray, n: np.ndarray, own_s: np.ndarray, own_n: np.ndarray) -> np.ndarray:
        return (own_s / own_n) / (s / n)

    pairs = [(*one, *two) for one, two in zip(reference, other, strict=True)]
    value, low, high = bootstrap_sums(pairs, ratio)
    return {'episodes': len(pairs), 'ratio': value, 'ci95': [finite(low), finite(high)]}


def solved_text(value: float | None, interval: Sequence[float | None] | None, digits: int) -> str:
    """Return a figure with its interval, such as '12.3 (10.1 to 15.0)', or an empty string."""
    if value is None or interval is None:
        return ''
    low, high = ('no bound' if bound is None else f'{bound:.{digits}f}' for bound in interval)
    return f'{value:.{digits}f} ({low} to {high})'
