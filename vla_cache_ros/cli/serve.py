# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache serve`; see docs/serve.md."""

from dataclasses import dataclass
from typing import Any

from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.evaluation.settings import Gated
from vla_cache_ros.evaluation.settings import Placed
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.settings import Serving
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Index


@dataclass(frozen=True, kw_only=True)
class Serve(Placed, Gated, Serving):
    """Serve one model to many robots over websockets, each with a cache of its own."""

    unnorm_key: str | None = None
    """Data set whose statistics scale state and actions."""
    seed: Index = 0
    """Of every session's gate and noise."""
    execute_steps: Count | None = None
    """Actions of a chunk that --drift-threshold is about (4; 1 for action tokens)."""
    limits: Limits = Limits()

    def __call__(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        from vla_cache_ros.serving.run import run_serving

        steps = self.execute_steps or usual_steps(self.checkpoint)
        run_serving(self._load, self, self.limits, steps, self.seed)

    def _load(self) -> Any:
        from vla_cache_ros.policy import Policy

        return Policy.from_pretrained(
            self.checkpoint,
            self.gate,
            self.device,
            self.dtype,
            reuse=self.reuse,
            unnorm_key=self.unnorm_key,
            seed=self.seed,
            sessions=self.sessions,
        )
