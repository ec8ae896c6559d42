# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold what gates did at one observation of a recording, and how far that is from dense.

Actions are seven numbers: a translation in m, a rotation vector in rad, the gripper. Knows neither
bags nor models.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.action_distance import displacement
from vla_cache_ros.action_distance import turn
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

DIMENSIONS = ('x', 'y', 'z', 'rx', 'ry', 'rz', 'gripper')


@dataclass(frozen=True)
class GateStep:
    """
    Hold what one gate did at one observation, and what its executed actions differ by from dense.

    absolute: [n, 7], units of the training data. normalized, millimetres, degrees: see
    action_distance.py. flips: actions with the gripper on the other side of halfway. live:
    largest difference to the actions of the live node, None where it had another gate.
    """

    absolute: np.ndarray
    normalized: float
    millimetres: float
    degrees: float
    flips: int
    reuse: float
    refresh: str
    age_mean: float
    age_max: int
    milliseconds: float
    live: float | None = None


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
) -> GateStep:
    """
    Compare the first `executed` actions of a chunk with the dense ones.

    halfway: the gripper's number between open and closed.
    """
    chunk, report = acted
    ours, theirs = chunk.actions[:executed], dense.actions[:executed]
    return GateStep(
        absolute=np.abs(ours - theirs),
        normalized=float(action_distance(chunk.normalized, dense.normalized, executed)),
        millimetres=float(displacement(ours, theirs, executed)),
        degrees=float(turn(ours, theirs, executed)),
        flips=int(((ours[:, 6] > halfway) != (theirs[:, 6] > halfway)).sum()),
        reuse=float(report.reuse),
        refresh=report.refresh,
        age_mean=float(report.ages.mean()),
        age_max=int(report.ages.max()),
        milliseconds=float(report.latency_ms['total']),
        live=live,
    )
