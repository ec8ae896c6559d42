# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play the actions of a chunk against the clock.

Pure Python: says which action is due at a time, not what an action means or how it is sent.
"""

from dataclasses import dataclass
from enum import Enum


class Due(Enum):
    """What is due besides an action."""

    NOTHING = 'nothing to play'
    FINISHED = 'the last action just ended'
    LAPSED = 'the action was held for too long'


@dataclass
class Playback:
    """
    Hold one chunk and its clock.

    period: ns per action. tolerance: ns by which an action may begin early, because a timer
    fires around its nominal instant. timeout: ns between two calls of due() after which the rest
    of the chunk is dropped: nobody has held the command meanwhile.
    """

    period: int
    tolerance: int
    timeout: int
    _count: int = 0
    _begin: int = 0
    _asked: int = 0

    def start(self, count: int, now: int) -> None:
        """Begin to play count actions at now (ns)."""
        self._count, self._begin, self._asked = count, now, now

    def stop(self) -> None:
        """Forget what is left to play."""
        self._count = 0

    @property
    def playing(self) -> bool:
        """Say whether a chunk is being played."""
        return self._count > 0

    def due(self, now: int) -> int | Due:
        """Return the index of the action that is due at now (ns), or what else is."""
        if not self._count:
            return Due.NOTHING
        gap, self._asked = now - self._asked, now
        if not 0 <= gap <= self.timeout:
            self.stop()
            return Due.LAPSED
        index = (now - self._begin + self.tolerance) // self.period
        if index >= self._count:
            self.stop()
            return Due.FINISHED
        return index
