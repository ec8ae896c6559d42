# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold commands that were received against what the policy node promises of every one.

Pure Python and numpy: judges velocities, openings and stamps; does not know how they came.
"""

from collections import Counter
from dataclasses import dataclass
from dataclasses import replace

import numpy as np

_ROUNDING = 1e-9  # of a limit: a vector shortened to it may come out longer by an ulp


@dataclass(frozen=True)
class Bounds:
    """Largest norms: velocities in m/s and rad/s, accelerations in m/s^2 and rad/s^2."""

    max_linear_velocity: float
    max_angular_velocity: float
    max_linear_acceleration: float
    max_angular_acceleration: float


class CommandChecks:
    """
    Count the commands, and those that break a promise, by the promise.

    checked: commands by kind. violations: by name, empty where all is well.
    """

    def __init__(self, bounds: Bounds, publish_rate: float):
        """Start with the bounds in force; publish_rate: of the commands, Hz."""
        self.checked: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.bounds = self._before = bounds
        self._period = 1 / publish_rate
        self._changed = 0.0  # ns; a command stamped earlier may belong to the bounds before
        self._stamp, self._twist = 0, np.zeros(6)
        self._silent_from = self._still_from = np.inf  # ns

    def change(self, **values: float) -> None:
        """Take it that the bounds are being changed; until changed(), the wider ones hold."""
        self._before, self.bounds = self.bounds, replace(self.bounds, **values)
        self._changed = np.inf

    def changed(self, now: int) -> None:
        """Take it that what is stamped after now (ns) keeps to the new bounds."""
        self._changed = now

    def silent(self, since: float) -> None:
        """Expect no command stamped after since (ns); infinity: they may come again."""
        self._silent_from = since

    def still(self, since: float) -> None:
        """Expect no motion stamped after since (ns); infinity: there may be some again."""
        self._still_from = since

    def twist(self, stamp: int, twist: np.ndarray) -> None:
        """Check a twist [6] (m/s, rad/s) stamped at stamp (ns)."""
        self.checked['twists'] += 1
        if stamp < self._stamp:
            self.violations['stamp_not_monotone'] += 1
        if stamp > self._silent_from:
            self.violations['command_while_inactive'] += 1
        if not np.isfinite(twist).all():
            self.violations['twist_not_finite'] += 1
            self._stamp = stamp
            return
        if stamp > self._still_from and twist.any():
            self.violations['motion_while_paused'] += 1
        # One that was lost on the way may lie between this and the last, hence the sum.
        elapsed = max(0, stamp - self._stamp) * 1e-9 + self._period
        for part, kind in ((slice(3), 'linear'), (slice(3, 6), 'angular')):
            if np.linalg.norm(twist[part]) > self._limit(f'max_{kind}_velocity', stamp):
                self.violations[f'{kind}_velocity'] += 1
            change = np.linalg.norm(twist[part] - self._twist[part])
            most = elapsed * self._limit(f'max_{kind}_acceleration', stamp)
            if twist.any() and change > most:  # a stop is not slowed
                self.violations[f'{kind}_acceleration'] += 1
        self._stamp, self._twist = stamp, twist

    def gripper(self, values: list[float]) -> None:
        """Check a message to the gripper: one opening from 0 to 1."""
        self.checked['grippers'] += 1
        if len(values) != 1 or not np.isfinite(values[0]):
            self.violations['gripper_not_finite'] += 1
        elif not 0.0 <= values[0] <= 1.0:
            self.violations['gripper_out_of_range'] += 1

    def _limit(self, name: str, stamp: int) -> float:
        limit = getattr(self.bounds, name)
        if stamp < self._changed:
            limit = max(limit, getattr(self._before, name))
        return limit * (1 + _ROUNDING)
