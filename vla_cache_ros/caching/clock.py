# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the stages of a step on the wall clock. Knows no stage by name."""

from __future__ import annotations

import time

import torch


class StageClock:
    """Time consecutive stages in ms, waiting for the device at each boundary."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        self._last = self._now()

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def lap(self, name: str) -> None:
        """End the running stage, name it and begin the next."""
        now = self._now()
        self.laps[name] = 1000 * (now - self._last)
        self._last = now
