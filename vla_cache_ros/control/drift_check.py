# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Have the worker compare cached actions with dense ones while it has nothing else to do.

A dense step of the same observation is ordered right after the actions of the cached one began to
play. Knows the policy's outside; when a check is due and what its distance means is the guard's.
All methods but _compare belong to the controller's thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
import functools
import time
from typing import Any

import numpy as np
from vla_cache_ros.action_distance import drift_distance
from vla_cache_ros.control.drift_guard import DriftGuard
from vla_cache_ros.control.inference import Outcome
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import Worker

DRIFTED = 'drift: cached and dense actions part'


@dataclass(frozen=True)
class _Finding:
    epoch: int
    ms: float
    apart: float = 0.0
    error: str = ''


class DriftWatch:
    """Order checks and keep what came of them."""

    def __init__(self, policy: Any, worker: Worker, surroundings: Surroundings):  # noqa: ANN401
        """Start with a guard that has checked nothing."""
        self.guard = DriftGuard()
        self._policy = policy
        self._worker = worker
        self._world = surroundings
        self._finding: _Finding | None = None

    def follow(self, outcome: Outcome, parameters: VLAParameters, idle: bool) -> None:
        """Count a good inference; have it checked if that is due and the worker is idle."""
        due = self.guard.infer(outcome.act_ms, outcome.report.reuse)
        if due and idle and parameters.drift_threshold:
            self._worker.idle(functools.partial(self._compare, outcome, parameters.execute_steps))

    def parted(self, epoch: int, parameters: VLAParameters) -> bool:
        """Take what the worker found, unless the world has moved on; True: forget the cache."""
        finding, self._finding = self._finding, None
        if finding is None:
            return False
        self.guard.spend(finding.ms)
        if finding.error:
            self._world.warn(f'drift: not compared: {finding.error}')
            return False
        if finding.epoch != epoch or not parameters.drift_threshold:
            return False
        parted = self.guard.judge(finding.apart, parameters.drift_threshold)
        if parted:
            self._world.warn(
                f'{DRIFTED} by {finding.apart:.3f} (drift_threshold '
                f'{parameters.drift_threshold:g}); the next step recomputes everything'
            )
        return parted

    def figures(self) -> Mapping[str, str]:
        """Return what /diagnostics tells of the checks."""
        guard = self.guard
        figures = {
            'drift checks': str(guard.checks),
            'drift alarms': str(guard.alarms),
            'drift share': f'{guard.share:.4f}',
        }
        if guard.distances:
            figures['drift distance p95'] = f'{np.percentile(guard.distances, 95):.3f}'
        return figures

    def _compare(self, outcome: Outcome, steps: int) -> None:
        """Make a dense step; on the worker. Every error becomes a finding."""
        begin, apart, text = time.perf_counter(), 0.0, ''
        try:
            dense = self._policy.shadow(outcome.observation, outcome.report.step, *outcome.left)
            apart = drift_distance(outcome.chunk.normalized, dense.normalized, steps)
        except BaseException as error:  # noqa: BLE001 - a check must not end the thread
            text = f'{type(error).__name__}: {error}'
        ms = 1e3 * (time.perf_counter() - begin)
        self._finding = _Finding(outcome.epoch, ms, apart, text)
        self._world.wake()
