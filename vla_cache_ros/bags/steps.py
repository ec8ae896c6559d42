# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The two records of a walk through a bag: how observations are spaced, and one of them.

Knows no bag.
"""

from dataclasses import dataclass

import numpy as np
from vla_cache_ros.types import Observation


@dataclass(frozen=True)
class Cadence:
    """
    Say when the next observation is due where no live node chose them; all in s.

    period: between two observations, as execute_steps / control_frequency of the node. offset:
    from the first possible observation of an episode to its first one. image_timeout,
    state_timeout, sync_slop: as the node's parameters. max_gap: between two images of a camera,
    above which a new episode begins.
    """

    period: float
    offset: float = 0.0
    image_timeout: float = 0.5
    state_timeout: float = 0.5
    sync_slop: float = 0.1
    max_gap: float = 5.0

    def __post_init__(self) -> None:
        """Raise ValueError for a period that is not positive or an offset below zero."""
        if not self.period > 0 or not self.offset >= 0:
            raise ValueError(
                'cadence: expected a period above 0 s and an offset of at least 0 s, got '
                f'{self.period:g} and {self.offset:g}'
            )


@dataclass(frozen=True)
class BagStep:
    """
    Hold one observation of a recording.

    episode: counts from 0. stamp: of the oldest image, ns. time: when the recording had all of it,
    or the live report where there is one, ns. report: what the live node said of it, else None.
    correction: whether a person had taken the arm over. actions: what was commanded from then on
    [n, A], one a frame, None where that is not recorded. source: where it is in a data set.
    """

    episode: int
    observation: Observation
    stamp: int
    time: int
    report: dict | None = None
    correction: bool = False
    actions: np.ndarray | None = None
    source: str = ''
