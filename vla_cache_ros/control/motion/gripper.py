# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep a gripper from flickering: it opens or closes for good, and not too soon after the last time.

Pure Python: knows openings and times, and nothing of what a gripper is sent.
"""

from vla_cache_ros.control.gripper_parameters import GripperParameters


class Gripper:
    """Remember whether the gripper is open, and since when."""

    def __init__(self) -> None:
        """Start without knowing."""
        self._open: bool | None = None
        self._since = 0  # ns

    def __call__(self, opening: float, parameters: GripperParameters, now: int) -> float:
        """Return how far open (0 to 1) it shall be at now (ns), where opening is asked for."""
        band, dwell = parameters.gripper_hysteresis, parameters.gripper_dwell
        if not (band or dwell):
            self._open = None
            return opening
        wanted = opening >= 0.5
        if self._open is not None:
            decided = abs(opening - 0.5) >= band / 2
            held = 0 <= now - self._since < dwell * 1e9  # below 0: the clock was set back
            wanted = self._open if held or not decided else wanted
        if wanted != self._open:
            self._open, self._since = wanted, now
        return float(wanted)
