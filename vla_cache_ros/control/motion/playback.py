# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play the actions of chunks against the clock.

Pure Python: says which action is due at a time, not what an action means or how it is sent. To
play slower is to let a clock of its own run slower: what is left of a chunk in hand is stretched.
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
    begin: int  # ns, by the clock of playing
    actions: np.ndarray  # [n, A]
    joined: int  # ns, by the same clock


class Playback:
    """Hold the chunks that are being played, and for how long the arm has been moved by them."""

    def __init__(
        self,
        period: int,
        tolerance: int,
        timeout: int,
        decay: float | None = None,
        blend: int = 0,
    ):
        """
        Start with nothing to play.

        period: ns per action. tolerance: ns by which an action may begin early, because a timer
        fires around its nominal instant. timeout: ns between two calls of due() after which the
        rest is dropped: nobody has held the command meanwhile. decay: None lets the newest chunk
        replace the others; a number averages all of them, one that is older by an inference
        weighing exp(-decay) times as much. blend: ns by the clock of playing in which the newest
        chunk takes over from those before it, where decay is None.
        """
        self._period, self._tolerance, self._timeout = period, tolerance, timeout
        # [time, playing's time, period] in ns, where the period changed; newest last
        self._changes: deque[tuple[int, int, int]] = deque([(0, 0, period)], maxlen=16)
        self._decay, self._blend = decay, blend
        self._chunks: deque[_Chunk] = deque()  # newest last
        self._spans: deque[list[int]] = deque(maxlen=16)  # [begin, end] of uninterrupted motion
        self._asked = 0

    def start(self, actions: np.ndarray, now: int, since: int | None = None) -> None:
        """
        Begin to play actions [n, A], the gripper last, at now (ns).

        since: when they were observed for (ns): the first of them belong to the time since then
        in which the arm was moved by earlier ones, and are skipped. None skips nothing. Chunks
        that have lapsed, or belong to a clock that was set back, are dropped.
        """
        self._lapses(now)
        at = self._playing_time(now)
        moved = 0 if since is None else self._moved(self._playing_time(since), at)
        if not self.playing:
            self._spans.append([at, at])
        if self._decay is None and not self._blend:
            self._chunks.clear()
        self._chunks.append(_Chunk(at - moved, actions, at))

    def change_period(self, period: int, now: int) -> None:
        """Let an action last period ns from now (ns) on, also what is left of those in hand."""
        self._changes.append((now, self._playing_time(now), period))

    def stop(self) -> None:
        """Forget what is left to play."""
        self._chunks.clear()

    @property
    def playing(self) -> bool:
        """Say whether a chunk is being played."""
        return bool(self._chunks)

    def left(self, since: int) -> np.ndarray | None:
        """
        Return what the newest chunk says of since (ns) and later, [L, A]; None: nothing.

        It begins with the action whose time is nearest to that which begins at since.
        """
        if not self._chunks:
            return None
        chunk = self._chunks[-1]
        first = self._index(chunk, self._playing_time(since) + self._period // 2)
        rest = chunk.actions[max(first, 0) :]
        return rest if len(rest) else None

    def due(self, now: int) -> np.ndarray | Due:
        """Return the action [A] that is due at now (ns), or what else is."""
        playing = self.playing
        if self._lapses(now) and playing:
            return Due.LAPSED
        if not playing:
            return Due.NOTHING
        at = self._spans[-1][1] = self._playing_time(now)
        early = at + self._tolerance * self._period // self._changes[-1][2]
        if self._decay is None:
            return self._blended(at, early)
        self._chunks = deque(c for c in self._chunks if self._index(c, early) < len(c.actions))
        if not self._chunks:
            return Due.FINISHED
        due = np.stack([chunk.actions[self._index(chunk, early)] for chunk in self._chunks])
        weights = np.exp(-self._decay * np.arange(len(due))[::-1])
        action = weights @ due / weights.sum()
        action[-1] = due[-1, -1]  # half open is no average of open and closed
        return action

    def _blended(self, at: int, early: int) -> np.ndarray | Due:
        """Return what the newest chunk says, on its way from what those before it say."""
        if self._index(self._chunks[-1], early) >= len(self._chunks[-1].actions):
            self.stop()
            return Due.FINISHED
        while len(self._chunks) > 1 and at - self._chunks[1].joined >= self._blend:
            self._chunks.popleft()
        action = None
        for chunk in self._chunks:
            # one that has ended while it fades out goes on as it was
            due = chunk.actions[min(self._index(chunk, early), len(chunk.actions) - 1)]
            share = (at - chunk.joined) / self._blend if action is not None else 1.0
            action = due.copy() if action is None else (1 - share) * action + share * due
        action[-1] = due[-1]  # half open is no way from open to closed
        return action

    def _playing_time(self, now: int) -> int:
        """Return a time (ns) by the clock in which an action always lasts the first period."""
        begin, at, period = next(
            (change for change in reversed(self._changes) if change[0] <= now), self._changes[0]
        )
        return at + (now - begin) * self._period // period

    def _lapses(self, now: int) -> bool:
        """Drop what nobody has held until now (ns); return whether it was too long."""
        gap, self._asked = now - self._asked, now
        if gap < 0:  # the clock was set back: what is noted is of another time
            self._spans.clear()
            self._changes = deque([(now, now, self._changes[-1][2])], maxlen=16)
        lapsed = not 0 <= gap <= self._timeout
        if lapsed:
            self.stop()
        return lapsed

    def _index(self, chunk: _Chunk, at: int) -> int:
        return (at - chunk.begin) // self._period

    def _moved(self, since: int, at: int) -> int:
        """Return for how many ns of playing's time an action was being executed."""
        spans = [list(span) for span in self._spans]
        if spans and self.playing:
            spans[-1][1] = at
        return sum(max(0, min(end, at) - max(begin, since)) for begin, end in spans)
