# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which actions and which stamps cannot be used, and remember why the arm must stand still.

Pure Python and numpy: knows nothing of ROS, of images or of the policy.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np


class UnsafeAction(ValueError):
    """An action that must not reach the arm."""


def check_actions(actions: np.ndarray, size: int) -> np.ndarray:
    """
    Return the actions as float64 [n, size].

    Raises UnsafeAction for any other shape and for a value that is not finite: a chunk is
    executed as a whole or not at all.
    """
    checked = np.asarray(actions, dtype=np.float64)
    if checked.ndim != 2 or checked.shape[1] != size or len(checked) == 0:
        raise UnsafeAction(f'expected actions of shape [n, {size}], got {list(checked.shape)}')
    wrong = np.argwhere(~np.isfinite(checked))
    if len(wrong):
        step, number = wrong[0]
        raise UnsafeAction(
            f'expected finite actions, got {checked[step, number]} '
            f'as number {number} of action {step}'
        )
    return checked


def lateness(what: str, stamp: int, now: int, timeout: float) -> tuple[str, str] | None:
    """
    Return (cause, message) when a stamp (ns) is not usable at time now (ns), else None.

    A zero stamp and one from the future have causes of their own: they come from a driver that
    does not stamp, or from clocks that disagree, and would otherwise look like a silent source.
    """
    age = (now - stamp) * 1e-9
    if stamp == 0:
        return 'unstamped', f'{what}: expected a header stamp, got zero; let the driver stamp it'
    if age < -timeout:
        return (
            'future_stamp',
            f'{what}: expected a stamp of the past, got one {-age:.2f} s ahead; '
            'synchronise the clocks and check use_sim_time on both sides',
        )
    if age > timeout:
        return 'stale', f'{what}: expected a message every {timeout:g} s, last one {age:.2f} s ago'
    return None


class ClockWatch:
    """
    Notice a clock that stands still, by another one that cannot.

    A simulated clock stops when its publisher does, and with it every timer and every age that is
    measured by it.
    """

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


class StopCauses:
    """
    The reasons for which the arm stands still now, and how often each came up.

    A reason has a cause (counted, a short name) and a source (a topic, or empty).
    """

    def __init__(self):
        """Start without any reason."""
        self._active: dict[tuple[str, str], str] = {}
        self.counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Say whether there is any reason to stand still."""
        return bool(self._active)

    def raise_cause(self, cause: str, message: str, source: str = '') -> bool:
        """Note a reason; return whether it is new, so that it is logged once on the edge."""
        edge = (cause, source) not in self._active
        self._active[cause, source] = message
        self.counts[cause] += edge
        return edge

    def clear(self, causes: set[str]) -> None:
        """Drop the reasons with these causes, of every source."""
        self._active = {k: message for k, message in self._active.items() if k[0] not in causes}

    def replace(self, causes: Mapping[tuple[str, str], str], among: set[str]) -> list[str]:
        """Let exactly these reasons be active among some causes; return the new messages."""
        self._active = {
            key: message
            for key, message in self._active.items()
            if key[0] not in among or key in causes
        }
        return [m for (cause, source), m in causes.items() if self.raise_cause(cause, m, source)]

    def messages(self) -> list[str]:
        """Return one line for each reason, the cause first."""
        return [f'{cause}: {message}' for (cause, _), message in self._active.items()]

    def names(self, source: str | None = None) -> set[str]:
        """Return the causes that are active, of one source or of all."""
        return {cause for cause, origin in self._active if source in (None, origin)}
