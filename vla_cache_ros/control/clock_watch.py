# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Notice a clock that stands still, by another one that cannot.

Pure Python: a simulated clock stops when its publisher does, and with it every timer and every
age that is measured by it.
"""


class ClockWatch:
    """Compare two clocks whenever asked."""

    def __init__(self, timeout: int):
        """Call the clock stalled once it stood still for longer than timeout (ns)."""
        self._timeout = timeout
        self._last = -1
        self._since = 0

    def stalled(self, now: int, steady: int) -> bool:
        """Say whether the clock, at now (ns), stands still; steady (ns) never does."""
        if now != self._last:
            self._last, self._since = now, steady
        return steady - self._since > self._timeout
