# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Be vla_node with a model that is slowed on purpose, as far as a topic says.

For drills and tests of what happens when inferences overrun; the node itself is as it ships.
"""

from collections.abc import Callable
import sys
import time
from typing import Any

from std_msgs.msg import Float64
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.loading import load_policy
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.vla_node import VLANode
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

FIXED = 0.1  # of a dense step's delay, for what is computed whatever is reused


class SlowedPolicy:
    """Act as a policy does, later: the delay of a dense step shrinks with reuse."""

    def __init__(self, policy: Any):  # noqa: ANN401
        """Take a policy; seconds, the delay, is 0 until it is set."""
        self.seconds = 0.0
        self._policy = policy

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return whatever else the policy has."""
        return getattr(self._policy, name)

    def act(self, observation: Observation, *left: Any) -> tuple[ActionChunk, StepReport]:  # noqa: ANN401
        """Return what the policy does, after the delay."""
        chunk, report = self._policy.act(observation, *left)
        time.sleep(self.seconds * (FIXED + 1 - report.reuse))
        return chunk, report


class SlowedNode(VLANode):
    """Slow the model by what comes on ~/slowdown: the delay of a dense step, s."""

    def __init__(self, policy_factory: Callable[[VLAParameters], Any] = load_policy, **options):
        """Begin with a model that is not slowed."""
        self._slowed: SlowedPolicy | None = None

        def slowed(parameters: VLAParameters) -> SlowedPolicy:
            self._slowed = SlowedPolicy(policy_factory(parameters))
            return self._slowed

        super().__init__(slowed, **options)
        self.create_subscription(Float64, '~/slowdown', self._on_slowdown, 1)

    def _on_slowdown(self, message: Float64) -> None:
        if self._slowed is not None:
            self._slowed.seconds = message.data


def main(args: list[str] | None = None) -> None:
    """Run the node until a signal comes."""
    sys.exit(run(SlowedNode, args))


if __name__ == '__main__':
    main()
