# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play the actions of chunks against the clock.

Pure Python: says which action is due at a time, not what an action means or how it is sent.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

import numpy as np


class Due(Enum):
    """What is due besides an action."""

    NOTHING = 'nothing to play'
    FINISHED = 'the last action just ended'
    LAPSED = 'the action was held for too long'


@dataclass(frozen=True)
class _Chunk:
    begin: int  # ns
    actions: np.ndarray  # [n, 7]


class Playback:
    """Hold the chunks that are being played, and for how long the arm has been moved by them."""

    def __init__(self, period: int, tolerance: int, timeout: int, decay: float | None = None):
        """
        Start with nothing to play.

        period: ns per action. tolerance: ns by which an action may begin early, because a timer
        fires around its nominal instant. timeout: ns between two calls of due() after which the
        rest is dropped: nobody has held the command meanwhile. decay: None lets the newest chunk
        replace the others; a number averages all of them, one that is older by an inference
        weighing exp(-decay) times as much.
        """
        self._period, self._tolerance, self._timeout = period, tolerance, timeout
        self._decay = decay
        self._chunks: deque[_Chunk] = deque()  # newest last
        self._spans: deque[list[int]] = deque(maxlen=16)  # [begin, end] of uninterrupted motion
        self._asked = 0

    def start(self, actions: np.ndarray, now: int, since: int | None = None) -> None:
        """
        Begin to play actions [n, 7] at now (ns).

        since: when they were observed for (ns): the first of them belong to the time since then
        in which the arm was moved by earlier ones, and are skipped. None skips nothing. Chunks
        that have lapsed, or belong to a clock that was set back, are dropped.
        """
        self._lapses(now)
        moved = 0 if since is None else self._moved(since, now)
        if not self.playing:
            self._spans.append([now, now])
        if self._decay is None:
            self._chunks.clear()
        self._chunks.append(_Chunk(now - moved, actions))

    def stop(self) -> None:
        """Forget what is left to play."""
        self._chunks.clear()

    @property
    def playing(self) -> bool:
        """Say whether a chunk is being played."""
        return bool(self._chunks)

    def due(self, now: int) -> np.ndarray | Due:
        """Return the action [7] that is due at now (ns), or what else is."""
        playing = self.playing
        if self._lapses(now) and playing:
            return Due.LAPSED
        if not playing:
            return Due.NOTHING
        self._spans[-1][1] = now
        self._chunks = deque(c for c in self._chunks if self._index(c, now) < len(c.actions))
        if not self._chunks:
            return Due.FINISHED
        due = np.stack([chunk.actions[self._index(chunk, now)] for chunk in self._chunks])
        weights = np.exp(-(self._decay or 0.0) * np.arange(len(due))[::-1])
        action = weights @ due / weights.sum()
        action[6] = due[-1, 6]  # half open is no average of open and closed
        return action

    def _lapses(self, now: int) -> bool:
        """Drop what nobody has held until now (ns); return whether it was too long."""
        gap, self._asked = now - self._asked, now
        if gap < 0:
            self._spans.clear()  # the clock was set back: they are of another time
        lapsed = not 0 <= gap <= self._timeout
        if lapsed:
            self.stop()
        return lapsed

    def _index(self, chunk: _Chunk, now: int) -> int:
        return (now - chunk.begin + self._tolerance) // self._period

    def _moved(self, since: int, now: int) -> int:
        """Return for how many ns from since to now an action was being executed."""
        spans = [list(span) for span in self._spans]
        if spans and self.playing:
            spans[-1][1] = now
        return sum(max(0, min(end, now) - max(begin, since)) for begin, end in spans)
