# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Remember the twists a driver was sent, and average them over a span of time.

A driver that runs in steps would turn each action's displacement into a whole number of steps;
one that integrates what was commanded, by the stamps, makes the displacement that was meant.
Pure Python: knows neither ROS nor the arm.
"""

from collections import deque

import numpy as np


class CommandLog:
    """Twists [6] (m/s, rad/s) by stamp (ns); each holds until the next one or the timeout."""

    def __init__(self, timeout: int):
        """Lapse a twist timeout ns after its stamp."""
        self._timeout = timeout
        self._entries: deque[tuple[int, np.ndarray]] = deque()

    def add(self, stamp: int, twist: np.ndarray) -> None:
        """Take a twist; one stamped before the newest is out of order and ignored."""
        if not self._entries or stamp >= self._entries[-1][0]:
            self._entries.append((stamp, twist))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def mean(self, begin: int, end: int) -> np.ndarray:
        """Return the mean twist [6] from begin to end (ns); forget what ended before begin."""
        while len(self._entries) > 1 and self._entries[1][0] <= begin:
            self._entries.popleft()
        total = np.zeros(6)
        entries = list(self._entries)
        nexts = [*(stamp for stamp, _ in entries[1:]), end][: len(entries)]
        for (stamp, twist), following in zip(entries, nexts, strict=True):
            held = min(following, stamp + self._timeout, end) - max(stamp, begin)
            if held > 0:
                total += twist * held
        return total / (end - begin)
