# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which frames of an episode are observed, where a period is given in seconds.

Knows nothing but numbers.
"""

from vla_cache_ros.bags.steps import Cadence


def stride_of(cadence: Cadence, fps: float) -> int:
    """Return how many frames it is from one observation to the next, at least one."""
    return max(1, round(cadence.period * fps))


def cadence_note(cadence: Cadence, fps: float) -> str:
    """Return in one line what is used where a period is no whole number of frames; else ''."""
    stride = stride_of(cadence, fps)
    if abs(cadence.period * fps - stride) < 1e-3:
        return ''
    every = 'every frame' if stride == 1 else f'every {stride}. frame'
    return (
        f'period: expected a whole number of frames at {fps:g} fps, got {cadence.period:g} s '
        f'({cadence.period * fps:.2f} frames); {every} is used, {stride / fps:.4g} s'
    )


def offset_frames(cadence: Cadence, fps: float, count: int) -> list[int]:
    """
    Return at which frames of an episode so many walks through it begin, evenly spread.

    They are fewer where there are fewer frames from one observation to the next.
    """
    stride, first = stride_of(cadence, fps), round(cadence.offset * fps)
    return sorted({first + stride * index // count for index in range(count)})
