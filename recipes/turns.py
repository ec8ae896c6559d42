# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Let policies take turns, an episode each. Knows neither what they are nor who asks them."""

from collections.abc import Sequence
from itertools import cycle

from vla_cache_ros.policy import Policy
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport


class InTurns:
    """Act as one policy of several; an episode is the next one's."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        """Hold policies of one model, with a gate each."""
        self._turns = cycle(policies)
        self._policy = policies[0]
        self.num_images = self._policy.num_images

    def reset(self) -> None:
        """Start an episode of the next policy."""
        self._policy = next(self._turns)
        self._policy.reset()

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Return the actions of the policy whose turn it is."""
        return self._policy.act(observation)
