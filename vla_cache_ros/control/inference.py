# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make one inference on the worker's thread: whatever happens, something comes of it.

Knows the policy's outside only, and nothing of when to infer or what is done with the outcome.
"""

import time
import traceback
from typing import Any

from vla_cache_ros.control.inputs import FrameSet
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.surroundings import Outcome


def infer(policy: Any, frames: FrameSet, epoch: int, now: int) -> Outcome:  # noqa: ANN401
    """Return what the policy makes of frames, from now (ns) on; every error becomes an outcome."""
    cause = 'unusable_image'
    try:
        observation = frames.observation()
        cause, begin = 'inference_failed', time.perf_counter()
        chunk, report = policy.act(observation)
        act_ms = 1e3 * (time.perf_counter() - begin)
        cause = 'unsafe_action'
        check_actions(chunk.actions)
        return Outcome(epoch, frames, now, act_ms, chunk, report, observation)
    except BaseException as error:  # noqa: BLE001 - the arm stops, the thread stays up
        trace = traceback.format_exc() if cause == 'inference_failed' else ''
        return Outcome(epoch, frames, now, cause=cause, error=f'{error}\n{trace}'.strip())
