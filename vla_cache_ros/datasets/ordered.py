# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put the messages of a recording into the order in which what they say was true.

A picture is from when it was taken, however late it was recorded. Holds a second of messages.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
import heapq
from typing import Any

import numpy as np
from vla_cache_ros.bags.clocks import Clocks
from vla_cache_ros.bags.clocks import headers
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.control.messages import stamp_of

SAMPLE = 300  # pictures by which the rate of a camera is told


@dataclass(frozen=True)
class Timed:
    """
    A message and from when it is (ns), by the recorder's clock.

    taken: its header stamp as it was recorded, before another computer's clock was taken off.
    """

    when: int
    topic: str
    message: Any
    taken: int = 0


def ordered(
    bag: Bag,
    topics: Collection[str],
    stamped: Collection[str],
    last: Collection[str],
    patience: float,
    notes: Counter[str],
) -> Iterator[Timed]:
    """
    Yield the messages of topics by the time from which they are.

    stamped: those of topics whose headers say it; of others it is when they were recorded. last:
    those that come after others of the same time. patience: s, for which one that comes late is
    waited for; a later one comes when it comes.
    """
    clocks = Clocks(bag, stamped, notes)
    wait = round(patience * 1e9)
    heap: list[tuple[int, bool, int, Timed]] = []
    newest = 0
    for count, found in enumerate(bag.messages(topics)):
        when, taken = found.time, 0
        if found.topic in stamped:
            taken = _stamp(found.message)
            clocks.correct(found)
            when = _stamp(found.message)
        newest = max(newest, found.time)
        item = Timed(when, found.topic, found.message, taken)
        heapq.heappush(heap, (when, found.topic in last, count, item))
        while heap[0][0] <= newest - wait:
            yield heapq.heappop(heap)[-1]
            if not heap:
                break
    while heap:
        yield heapq.heappop(heap)[-1]


def camera_period(bag: Bag, topic: str) -> float | None:
    """Return the median time between two pictures at a recording's begin, s; None for one."""
    stamps, times = [], []
    for found in bag.messages({topic}):
        stamps.append(stamp_of(found.message))
        times.append(found.time)
        if len(stamps) == SAMPLE:
            break
    for series in (stamps, times):
        steps = np.diff(series)
        steps = steps[steps > 0]
        if len(steps):
            return float(np.median(steps)) * 1e-9
    return None


def _stamp(message: Any) -> int:  # noqa: ANN401
    """Return the newest header stamp of a message, ns."""
    return max((h.stamp.sec * 10**9 + h.stamp.nanosec for _, h in headers(message)), default=0)
