# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decide when a cached step is compared with a dense one, and when the two have parted.

Comparing costs a dense step, so it is paid from a credit: a share of what inference takes. Knows
times and distances; neither a model nor who computes the dense step, or when.
"""

from collections import deque
from statistics import median

SHARE = 0.05  # of the time of all inferences, which checks may take
_RECENT = 9  # checks, or full steps before them, whose median says what the next one will take
_WINDOW = 500  # checks over which distances are summed up


class DriftGuard:
    """
    Count inferences and checks; say when a check is due and when the cache has to be forgotten.

    checks, alarms: how many. alarmed: whether the last alarm stands; a check below the threshold
    ends it. distances: of the last checks. inferred, spent: ms of all inferences, of all checks.
    """

    def __init__(self, share: float = SHARE) -> None:
        """Start without credit. share: of the time of all inferences, for checks."""
        self.checks = self.alarms = 0
        self.alarmed = False
        self.distances: deque[float] = deque(maxlen=_WINDOW)
        self.inferred = self.spent = 0.0
        self._share = share
        self._credit = 0.0  # ms
        self._cost = 0.0  # ms, what a check is expected to take
        self._costs: deque[float] = deque(maxlen=_RECENT)  # ms
        self._suspicious = False

    def reset(self) -> None:
        """
        Begin an episode; what is owed stays owed.

        It begins with a full step, after which even a broken gate does well: a suspicion ends.
        """
        self._suspicious = False

    def infer(self, ms: float, reuse: float) -> bool:
        """
        Count an inference and return whether it should be checked.

        ms: what it took. reuse: share of its tokens from the cache; nothing can be wrong with a
        step that reused none, so a dense policy is never checked.

        A check waits until two can be paid: one that exceeds the threshold is followed by another
        at once. While an alarm stands one is enough.
        """
        self.inferred += ms
        if not reuse:
            self._suspicious = False
            if not self.checks:  # a check takes what a full step does
                self._expect(ms)
        # no more than two checks: what was saved long ago must not pay for a burst of them
        self._credit = min(self._credit + self._share * ms, 2 * self._cost)
        if not reuse or not self._cost:
            return False
        return self._suspicious or self._credit >= self._cost * (1 if self.alarmed else 2)

    def spend(self, ms: float) -> None:
        """Pay for a check, whatever came of it; a debt is paid off before the next one."""
        if not self.checks:
            self._costs.clear()
        self.checks += 1
        self.spent += ms
        self._credit -= ms
        self._expect(ms)

    def judge(self, apart: float, threshold: float) -> bool:
        """
        Take the distance that a check found; return whether to forget the cache.

        True for the second in a row above the threshold, which is an alarm, and for each one
        above it while the alarm stands.
        """
        self.distances.append(apart)
        if apart <= threshold:
            self._suspicious = self.alarmed = False
            return False
        if not (self._suspicious or self.alarmed):
            self._suspicious = True
            return False
        self.alarms += not self.alarmed
        self._suspicious, self.alarmed = False, True
        return True

    def _expect(self, ms: float) -> None:
        self._costs.append(ms)
        self._cost = median(self._costs)

    @property
    def share(self) -> float:
        """Return the time of all checks as a share of that of all inferences."""
        return self.spent / self.inferred if self.inferred else 0.0
