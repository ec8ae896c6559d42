# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Work on several cameras at a time: some beside the calling thread, where a processor is free.

Plain threads and not torch's own: those spin while they wait, and take the processor from others.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Result = TypeVar('Result')


def each_camera(work: Callable[[int], Result], cameras: int) -> list[Result]:
    """
    Return `work(camera)` of every camera, in order.

    What no other thread has begun by the time this one is free is done here: on a busy machine
    nothing waits for a thread that gets no processor.
    """
    futures = [_pool().submit(work, camera) for camera in range(1, cameras)]
    results = [work(0)]
    for camera, future in enumerate(futures, 1):
        results.append(work(camera) if future.cancel() else future.result())
    return results


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(3, 'cameras')
