# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold what gates did at one observation of a recording, and how far that is from dense.

Actions are poses, a translation in m, a rotation vector in rad and the gripper, or any numbers,
whose last is the gripper. Knows neither bags nor models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.action_distance import displacement
from vla_cache_ros.action_distance import turn
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

POSE = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')


@dataclass(frozen=True)
class GateStep:
    """
    Hold what one gate did at one observation, and what its executed actions differ by from dense.

    absolute: [n, A], units of the training data. normalized, millimetres, degrees: see
    action_distance.py; the last two are None where actions are no poses. flips: actions with the
    gripper on the other side of halfway. live: largest difference to the actions of the live
    node, None where it had another gate.
    """

    absolute: np.ndarray
    normalized: float
    millimetres: float | None
    degrees: float | None
    flips: int
    reuse: float
    refresh: str
    age_mean: float
    age_max: int
    milliseconds: float
    live: float | None = None

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Return what the numbers of an action are called."""
        count = self.absolute.shape[1]
        return POSE if self.millimetres is not None else tuple(map(str, range(1, count + 1)))


@dataclass(frozen=True)
class Step:
    """Hold one observation; seconds since the bag's first; live_gate: '' without a live node."""

    episode: int
    seconds: float
    instruction: str
    live_gate: str
    gates: Mapping[str, GateStep]


def gate_step(
    acted: tuple[ActionChunk, StepReport],
    dense: ActionChunk,
    executed: int,
    halfway: float,
    live: float | None = None,
    poses: bool = True,
) -> GateStep:
    """
    Compare the first `executed` actions of a chunk with the dense ones.

    halfway: the gripper's number between open and closed. poses: whether actions are.
    """
    chunk, report = acted
    ours, theirs = chunk.actions[:executed], dense.actions[:executed]
    return GateStep(
        absolute=np.abs(ours - theirs),
        normalized=float(action_distance(chunk.normalized, dense.normalized, executed)),
        millimetres=float(displacement(ours, theirs, executed)) if poses else None,
        degrees=float(turn(ours, theirs, executed)) if poses else None,
        flips=int(((ours[:, -1] > halfway) != (theirs[:, -1] > halfway)).sum()),
        reuse=float(report.reuse),
        refresh=report.refresh,
        age_mean=float(report.ages.mean()),
        age_max=int(report.ages.max()),
        milliseconds=float(report.latency_ms['total']),
        live=live,
    )
