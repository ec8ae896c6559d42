# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold what gates did at one observation of a recording, and how far that is from dense.

Actions are poses, a translation in m, a rotation vector in rad and the gripper, or any numbers,
whose last is the gripper unless their names say otherwise. Knows neither bags nor models.
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
class ActionNumbers:
    """
    Say what the numbers of an action are.

    poses: whether they are those of POSE. names: where these are stated otherwise.
    """

    poses: bool = True
    names: tuple[str, ...] = ()

    @property
    def grippers(self) -> tuple[int, ...]:
        """Return the places of grippers: those called so, else the last; none if none is."""
        if not self.names:
            return (-1,)
        return tuple(i for i, name in enumerate(self.names) if 'gripper' in name.lower())

    def called(self, count: int) -> tuple[str, ...]:
        """Return what so many numbers are called."""
        if self.poses:
            return POSE
        return self.names or tuple(map(str, range(1, count + 1)))


@dataclass(frozen=True)
class RecordedStep:
    """Hold the distance to the actions that were recorded; fields as of GateStep."""

    absolute: np.ndarray
    normalized: float
    millimetres: float | None
    degrees: float | None


@dataclass(frozen=True)
class GateStep:
    """
    Hold what one gate did at one observation, and what its executed actions differ by from dense.

    absolute: [n, A], units of the training data. normalized, millimetres, degrees: see
    action_distance.py; the last two are None where actions are no poses. flips: actions with a
    gripper on the other side of halfway, None without one. live: largest difference to the actions
    of the live node, None where it had another gate. recorded: None where no actions were.
    """

    absolute: np.ndarray
    normalized: float
    millimetres: float | None
    degrees: float | None
    flips: int | None
    reuse: float
    refresh: str
    age_mean: float
    age_max: int
    milliseconds: float
    live: float | None = None
    dimensions: tuple[str, ...] = POSE
    recorded: RecordedStep | None = None


@dataclass(frozen=True)
class Step:
    """
    Hold one observation.

    seconds: since the recording's first. live_gate: '' without a live node. source: where it is in
    a data set.
    """

    episode: int
    seconds: float
    instruction: str
    live_gate: str
    gates: Mapping[str, GateStep]
    source: str = ''


def gate_step(
    acted: tuple[ActionChunk, StepReport],
    dense: ActionChunk,
    executed: int,
    halfway: float | np.ndarray,
    live: float | None = None,
    numbers: ActionNumbers = ActionNumbers(),
) -> GateStep:
    """
    Compare the first `executed` actions of a chunk with the dense ones.

    halfway: each gripper's number between open and closed.
    """
    chunk, report = acted
    ours, theirs = chunk.actions[:executed], dense.actions[:executed]
    return GateStep(
        absolute=np.abs(ours - theirs),
        normalized=float(action_distance(chunk.normalized, dense.normalized, executed)),
        millimetres=float(displacement(ours, theirs, executed)) if numbers.poses else None,
        degrees=float(turn(ours, theirs, executed)) if numbers.poses else None,
        flips=_flips(ours, theirs, halfway, list(numbers.grippers)),
        reuse=float(report.reuse),
        refresh=report.refresh,
        age_mean=float(report.ages.mean()),
        age_max=int(report.ages.max()),
        milliseconds=float(report.latency_ms['total']),
        live=live,
        dimensions=numbers.called(ours.shape[1]),
    )


def recorded_step(
    chunk: ActionChunk, actions: np.ndarray, normalized: np.ndarray, numbers: ActionNumbers
) -> RecordedStep:
    """
    Compare the first actions of a chunk with those that were recorded.

    actions, normalized: [n, A], raw and in the model's numbers; fewer where an episode ends.
    """
    count = len(actions)
    ours = chunk.actions[:count]
    return RecordedStep(
        absolute=np.abs(ours - actions),
        normalized=float(action_distance(chunk.normalized[:count], normalized, count)),
        millimetres=float(displacement(ours, actions, count)) if numbers.poses else None,
        degrees=float(turn(ours, actions, count)) if numbers.poses else None,
    )


def _flips(
    ours: np.ndarray, theirs: np.ndarray, halfway: float | np.ndarray, grippers: list[int]
) -> int | None:
    if not grippers:
        return None
    other = (ours[:, grippers] > halfway) != (theirs[:, grippers] > halfway)
    return int(other.any(axis=1).sum())
