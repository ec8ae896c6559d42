# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bound how many sessions of one model there are at a time. Knows nothing of what they hold."""

from typing import Any


class SessionsFullError(ValueError):
    """Say that every room for a session is taken."""


class Rooms:
    """
    Give rooms to sessions.

    count: how many there are. size: bytes of one, where known. lanes: what the sessions' engines
    share where their steps are recorded. shadow: the engine of dense steps that are compared.
    """

    def __init__(self, count: int) -> None:
        """Raise ValueError for less than one."""
        if count < 1:
            raise ValueError(f'sessions: expected at least 1, got {count}')
        self.count, self.size = count, 0
        self.lanes: Any = None
        self.shadow: Any = None
        self._free = [*range(count)]

    def take(self) -> int:
        """Return the lowest free room; raises SessionsFullError without one."""
        if not self._free:
            raise SessionsFullError(
                f'sessions: expected at most {self.count} at a time, of {self.size / 1e6:.1f} MB '
                'each, got one more; close one, or load the policy with room for more'
            )
        return self._free.pop(0)

    def give(self, room: int) -> None:
        """Take a room back."""
        self._free = sorted([*self._free, room])
