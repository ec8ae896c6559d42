# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write and read `~/step_report`: one JSON text per inference.

Knows the format only, and no ROS, so that a bag can be read where there is none.
"""

from collections.abc import Mapping
from itertools import chain
import json

import numpy as np
from vla_cache_ros.control.chunking import Leftover
from vla_cache_ros.control.chunking import NOTHING
from vla_cache_ros.control.sensing.inputs import FrameSet
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

LONGEST = 2**20  # characters of a report; ordinary ones have thousands


def step_report(
    report: StepReport,
    chunk: ActionChunk,
    frames: FrameSet,
    *,
    episode: int,
    published: int,
    timings: Mapping[str, float],
    control: str = 'policy',
    left: Leftover = NOTHING,
) -> str:
    """
    Return what one inference used, did and cost, as JSON text.

    published: stamp (ns) of the first command, 0 in a dry run or while a person has the arm;
    timings: milliseconds by name; control: who has the arm, `policy` or `person`; left: what the
    inference was told of the chunk before, of which the number of actions is written.
    The active tokens are a bitmap in hexadecimal, most significant bit first, camera-major.
    """
    active = np.asarray(report.active, bool)
    return json.dumps(
        {
            'episode': episode,
            'step': report.step,
            'control': control,
            'instruction': frames.instruction,
            'gate': report.gate,
            'reuse': round(float(report.reuse), 6),
            'refresh': report.refresh,
            'passes': report.passes,
            'cameras': len(frames.topics),
            'tokens': int(active.size),
            'active': np.packbits(active).tobytes().hex(),
            'age_max': int(np.max(report.ages, initial=0)),
            'age_mean': round(float(np.mean(report.ages)) if np.size(report.ages) else 0.0, 3),
            'image_stamps': [frame.stamp for frame in frames.images],
            'state_stamps': frames.state.stamps,
            'joint_stamps': frames.state.joint_stamps,
            'command_stamp': published,
            'actions': np.asarray(chunk.actions, float).round(9).tolist(),
            **({} if left.rest is None else {'rest': len(left.rest), 'delay': left.delay}),
            'latency_ms': {k: round(float(v), 3) for k, v in report.latency_ms.items()},
            **{name: round(value, 3) for name, value in timings.items()},
        }
    )


def read_report(text: str) -> dict | None:
    """Return a step report, None for a text that is none: anyone may have published it."""
    try:
        report = json.loads(text) if len(text) < LONGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict):
        return None
    numbers = [report.get(name) for name in ('episode', 'step', 'command_stamp')]
    stamps = [report.get('image_stamps'), report.get('state_stamps', [])]
    stamps.append(report.get('joint_stamps', []))
    if not all(isinstance(one, list) for one in (*stamps, report.get('actions'))):
        return None
    if not all(type(number) is int for number in (*numbers, *chain(*stamps))):
        return None
    words = report.get('gate'), report.get('instruction')
    actions = _matrix(report['actions'])
    return report if all(isinstance(word, str) for word in words) and actions else None


def _matrix(rows: list) -> bool:
    """Say whether rows are lists of numbers, all of one length."""
    return (
        all(isinstance(row, list) for row in rows)
        and len({len(row) for row in rows}) <= 1
        and all(type(value) in (int, float) for row in rows for value in row)
    )


def active_tokens(text: str) -> np.ndarray:
    """Return the bool [V] that a step report's bitmap stands for."""
    report = json.loads(text)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(report['active']), np.uint8))
    return bits[: report['tokens']].astype(bool)
