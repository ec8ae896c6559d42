# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what is given up when inferences take longer than the actions they give: a ladder.

More reuse first, which costs accuracy only; then a lower rate, at which the arm makes the same
movements more slowly; then a stop. Pure Python: knows durations, and neither clocks, gates nor
commands.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

OVERRUNS, AMONG = 3, 5  # overruns among so many inferences lead a rung down: one hiccup does not
SLACK = 0.7  # of the period that the rung above leaves: what is quicker has room for it
SLACK_RUN = 20  # inferences with slack that lead a rung up again
HICCUP = 5  # of them are taken back by one without slack
MOST_DOUBLINGS = 4  # of that run, each after a rung that could not be held for so long
REUSE_STEPS = 2
RATE_STEPS = 3
SMALLEST_STEP = 0.005  # of reuse: less would change nothing


class Stage(Enum):
    """What is given up, in this order."""

    NONE = 'none'
    MORE_REUSE = 'more reuse'
    SLOWER = 'slower'
    STOPPED = 'stopped'


@dataclass(frozen=True)
class Rung:
    """reuse: asked of the gate, None for what it does by itself; frequency: of control, Hz."""

    stage: Stage
    reuse: float | None
    frequency: float


def ladder(
    frequency: float, slowest: float, reuse_range: tuple[float | None, float] | None
) -> tuple[Rung, ...]:
    """
    Return the rungs, from nothing given up to the stop.

    frequency, slowest: Hz. reuse_range: what the gate aims at by itself (None: it follows rules of
    its own) and the most that may be asked of it; None leaves out what cannot be asked.
    """
    reuse, largest = (None, 0.0) if reuse_range is None else reuse_range
    rungs = [Rung(Stage.NONE, reuse, frequency)]
    if reuse_range is not None and reuse is None:
        rungs.append(Rung(Stage.MORE_REUSE, largest, frequency))
    elif reuse is not None and largest - reuse >= SMALLEST_STEP:
        gaps = [(largest - reuse) * (1 - step / REUSE_STEPS) for step in range(1, REUSE_STEPS + 1)]
        rungs += [Rung(Stage.MORE_REUSE, largest - gap, frequency) for gap in gaps]
    asked = rungs[-1].reuse
    if slowest < frequency:
        ratio = (slowest / frequency) ** (1 / RATE_STEPS)
        rates = [frequency * ratio**step for step in range(1, RATE_STEPS)]
        rungs += [Rung(Stage.SLOWER, asked, rate) for rate in [*rates, slowest]]
    return (*rungs, Rung(Stage.STOPPED, asked, min(slowest, frequency)))


class Degradation:
    """
    Stand on a rung; every inference's duration may lead one down or one up.

    overruns: inferences that took longer than their period, since the start.
    """

    def __init__(self, rungs: tuple[Rung, ...], actions: int):
        """Begin with nothing given up; actions: executed of each chunk."""
        self._rungs, self._actions = rungs, actions
        self.overruns = 0
        self.restart()

    @property
    def rung(self) -> Rung:
        """Return what holds now."""
        return self._rungs[self._at]

    def note(self, duration: float) -> int:
        """
        Take the duration of one inference (s); return 1 if it leads a rung down, -1 if up, else 0.

        What has slack with more reuse may overrun with less: a rung that was taken back in vain
        is tried again after twice as many inferences, so that it does not come and go for ever.
        """
        late = duration > self._actions / self.rung.frequency
        self.overruns += late
        self._recent.append(late)
        above = self._rungs[max(self._at - 1, 0)]
        quick = duration < SLACK * self._actions / above.frequency
        self._quick = self._quick + 1 if quick else max(self._quick - HICCUP, 0)
        self._held += 1
        run = SLACK_RUN << self._doublings
        if sum(self._recent) >= OVERRUNS and self._at + 1 < len(self._rungs):
            if self._held >= run:
                self._doublings = 0
            elif self._rose:
                self._doublings = min(self._doublings + 1, MOST_DOUBLINGS)
            self._stand(self._at + 1)
            return 1
        if self._quick >= run and self._at > 0:
            self._stand(self._at - 1, rose=True)
            return -1
        return 0

    def restart(self) -> None:
        """Begin anew, with nothing given up."""
        self._doublings = 0
        self._stand(0)

    def resume(self) -> None:
        """End a stop: go on at the slowest rate; what else was given up stays so."""
        if self.rung.stage is Stage.STOPPED:
            self._stand(self._at - 1)

    def _stand(self, at: int, rose: bool = False) -> None:
        self._at, self._rose = at, rose
        self._held = self._quick = 0  # inferences since then; those with slack, less hiccups
        self._recent: deque[bool] = deque(maxlen=AMONG)
