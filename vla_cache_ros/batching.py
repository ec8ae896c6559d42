# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run the steps of several sessions as one batch.

What the sessions of one model ask of it at the same stage is computed at once: products over the
rows of all, attention of each against its own cache. Knows neither time nor who waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.caching.work import together
from vla_cache_ros.session import Session
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport


@dataclass(frozen=True)
class Request:
    """Hold what one session is asked; rest, delay: as `Session.act` takes them."""

    policy: Session
    observation: Observation
    rest: np.ndarray | None = None
    delay: int = 0


def act_together(
    requests: Sequence[Request],
) -> list[tuple[ActionChunk, StepReport] | Exception]:
    """
    Return for each request what `act` gives, up to rounding, or the error it would raise.

    Raises ValueError for two requests of one session. From one thread.
    """
    if len({id(request.policy.cache) for request in requests}) < len(requests):
        raise ValueError('requests: expected one of each session at a time, got two of one')
    if not requests:
        return []
    with requests[0].policy.on_threads():
        return together(
            [one.policy.steps(one.observation, one.rest, one.delay) for one in requests]
        )
