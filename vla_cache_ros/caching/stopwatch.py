# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Time the stages of a step. Knows no stage by name."""

from __future__ import annotations

from itertools import pairwise
import time

import torch


class StageClock:
    """
    Time consecutive stages in ms.

    On a GPU by events in its queue, so that no stage waits for the one before; `laps` then waits
    for the last.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device.type == 'cuda'
        self._marks = [('', self._now())]

    def _now(self) -> torch.cuda.Event | float:
        if not self._gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def lap(self, name: str) -> None:
        """End the running stage, name it and begin the next."""
        self._marks.append((name, self._now()))

    def laps(self) -> dict[str, float]:
        """Return the milliseconds of each stage, laps of one name together."""
        pairs = list(pairwise(self._marks))
        if self._gpu:
            self._marks[-1][1].synchronize()
        laps: dict[str, float] = {}
        for (_, start), (name, end) in pairs:
            spent = start.elapsed_time(end) if self._gpu else 1e3 * (end - start)
            laps[name] = laps.get(name, 0.0) + spent
        return laps
