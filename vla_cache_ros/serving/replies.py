# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write the frames of answers and errors, as openpi's clients and as ours expect them."""

from typing import Any

from vla_cache_ros.serving.calls import Call
from vla_cache_ros.serving.messages import ACTIONS
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.serving.messages import TIMING
from vla_cache_ros.serving.messages import to_report
from vla_cache_ros.serving.session import Answer
from vla_cache_ros.serving.session import Refused
from vla_cache_ros.serving.wire import pack


def answer_frame(call: Call, answer: Answer, total_ms: float) -> bytes:
    """
    Return the frame of an answer; a client that numbered nothing gets openpi's message alone.

    total_ms: from the request's arrival on.
    """
    message: dict[str, Any] = {}
    if answer.chunk is not None:
        message[ACTIONS] = answer.chunk.actions
    message[TIMING] = {
        'infer_ms': answer.infer_ms,
        'total_ms': total_ms,
        'batch': answer.batch,
    }
    if call.id is not None:
        extra: dict[str, Any] = {'id': call.id, 'invalidations': answer.invalidations}
        if answer.chunk is not None:
            extra['normalized'] = answer.chunk.normalized
        if answer.report is not None:
            extra['report'] = to_report(answer.report)
        message[KEY] = extra
    return pack(message)


def error_frame(refused: Refused, number: int | None, extended: bool) -> bytes | str:
    """
    Return the frame of an error: text for openpi's clients, a map for ours.

    number: of the request, None where it said none. extended: whether the client speaks ours.
    """
    if not extended:
        return str(refused)
    extra: dict[str, Any] = {'id': number, 'error': str(refused), 'kind': refused.kind}
    if refused.invalidations is not None:
        extra['invalidations'] = refused.invalidations
    return pack({KEY: extra})
