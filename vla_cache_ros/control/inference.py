# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make one inference on the worker's thread, and say what passes between it and the world.

Knows the policy's outside only, and nothing of when to infer or what is done with the outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass
import time
import traceback
from typing import Any

import numpy as np
from vla_cache_ros.control.chunking import Leftover
from vla_cache_ros.control.chunking import NOTHING
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.sensing.inputs import FrameSet
from vla_cache_ros.control.worker import Worker
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

# What a policy in another process or machine names as the cause: no answer in time, no connection,
# not let in, no longer the model of configure, an answer that is none.
REMOTE = {'policy_silent', 'policy_lost', 'policy_refused', 'policy_changed', 'bad_answer'}
RECONNECTED = 'reconnected'  # and this: it knows nothing of the episode


@dataclass(frozen=True)
class Outcome:
    """
    What came of one inference: a chunk and its report, or a stop cause and an error.

    began: ns; what waited for another inference to end had not begun. left: what it was told of
    the chunk before.
    """

    epoch: int
    frames: FrameSet
    began: int
    act_ms: float = 0.0
    chunk: ActionChunk | None = None
    report: StepReport | None = None
    observation: Observation | None = None
    left: Leftover = NOTHING
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


def have(
    worker: Worker, warn: Callable[[str], None], what: Callable[[Any], None], argument: object
) -> None:
    """Have the worker call what with an argument before the next inference; warn: logs."""

    def do() -> None:
        try:
            what(argument)
        except Exception as error:  # noqa: BLE001 - the next inference will tell
            warn(f'{argument}: {error}\n{traceback.format_exc()}')

    worker.order(do)


def infer(
    policy: Any,  # noqa: ANN401
    frames: FrameSet,
    left: Leftover,
    epoch: int,
    now: int,
    size: int,
) -> Outcome:
    """
    Return what the policy makes of frames, from now (ns) on; every error becomes an outcome.

    left: what it is told of the chunk that plays. size: numbers that an action must have.
    """
    cause = 'unusable_image'
    try:
        observation = frames.observation()
        cause, begin = 'inference_failed', time.perf_counter()
        chunk, report = policy.act(observation, *left)
        act_ms = 1e3 * (time.perf_counter() - begin)
        cause = 'unsafe_action'
        check_actions(chunk.actions, size)
        return Outcome(epoch, frames, now, act_ms, chunk, report, observation, left)
    except BaseException as error:  # noqa: BLE001 - the arm stops, the thread stays up
        told = getattr(error, 'stop_cause', '')  # by a policy that is elsewhere
        trace = traceback.format_exc() if cause == 'inference_failed' and not told else ''
        cause = told or cause
        return Outcome(epoch, frames, now, cause=cause, error=f'{error}\n{trace}'.strip())


def dummy_observation(policy: Any) -> Observation:  # noqa: ANN401
    """Return noise that the policy takes for an observation."""
    noise = np.random.default_rng(0)
    images = [
        noise.integers(0, 255, (224, 224, 3), np.uint8, endpoint=True)
        for _ in range(policy.num_images)
    ]
    state = np.zeros(policy.proprio_size, np.float32) if policy.proprio_size else None
    return Observation(tuple(images), 'warm up', state)
