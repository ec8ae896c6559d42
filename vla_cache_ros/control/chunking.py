# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what an inference is told of the chunk that plays meanwhile: real-time chunking.

Knows times and actions; what a policy makes of them is its own. A chunk counts from the time of
its images, so the rest of the one before it does too.
"""

from collections import deque
from typing import Any
from typing import NamedTuple

import numpy as np
from vla_cache_ros.control.motion.playback import Playback
from vla_cache_ros.control.rate_control import Pace
from vla_cache_ros.control.vla_parameters import VLAParameters

RECENT = 10  # inferences; the next one is expected to take as long as the longest of them


class Leftover(NamedTuple):
    """
    Hold what of the running chunk is still to be executed, as `Policy.act` takes it.

    rest: [L, A], the policy's actions from the one on that was due when the images were taken;
    None where nothing is. delay: how many of them will have been begun when the inference ends.
    """

    rest: np.ndarray | None = None
    delay: int = 0


NOTHING = Leftover()


class Chunking:
    """Measure how long inferences take, and say what one that begins is told."""

    def __init__(
        self,
        parameters: VLAParameters,
        policy: Any,  # noqa: ANN401
        playback: Playback,
        pace: Pace,
    ):
        """Start without a measurement; where it is not wanted, nothing is ever told."""
        self._playback, self._pace = playback, pace
        self._wanted = policy.takes_rest and parameters.chunks_in_real_time
        self._took: deque[int] = deque(maxlen=RECENT)  # ns

    def note(self, took: int) -> None:
        """Take the time (ns) from an inference's order to its outcome, any wait included."""
        self._took.append(took)

    def left(self, since: int, now: int) -> Leftover:
        """Return what an inference is told that begins now (ns) with images of since (ns)."""
        rest = self._playback.left(since) if self._wanted else None
        if rest is None:
            return NOTHING
        ahead = now - since + max(self._took, default=0)
        return Leftover(rest, -(-ahead // self._pace.period))
