# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller is given by the world around it, and what it tells the world of."""

from collections.abc import Callable
from dataclasses import dataclass

from vla_cache_ros.control.inputs import FrameSet
from vla_cache_ros.control.limits import Command
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport


@dataclass(frozen=True)
class Outcome:
    """
    What came of one inference: a chunk and its report, or a stop cause and an error.

    began: ns; what waited for another inference to end had not begun.
    """

    epoch: int
    frames: FrameSet
    began: int
    act_ms: float = 0.0
    chunk: ActionChunk | None = None
    report: StepReport | None = None
    observation: Observation | None = None
    cause: str = ''
    error: str = ''


@dataclass(frozen=True)
class Surroundings:
    """
    What the controller needs of the world.

    now: the time in ns. send: passes a command on and returns its stamp (ns). renew: restarts
    the period of the ticks. wake: has collect() called on the controller's thread. warn: logs.
    done: is told of each good outcome, the stamp of its first command (ns; 0: none came of it) and
    its latency from the last image received to that command (ms).
    """

    now: Callable[[], int]
    send: Callable[[Command], int]
    renew: Callable[[], None]
    wake: Callable[[], None]
    warn: Callable[[str], None]
    done: Callable[[Outcome, int, float], None]
