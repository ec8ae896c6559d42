# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache serve`; see docs/serve.md."""

from dataclasses import dataclass
from typing import Annotated
from typing import Any
from typing import Literal

from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.cli.images import ImageOptions
from vla_cache_ros.evaluation.settings import Gated
from vla_cache_ros.evaluation.settings import Placed
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.settings import Serving
from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Index
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Seen(Settings):
    """What is done with pictures, where it is not the checkpoint's own image path."""

    center_crop: Annotated[float, Bounds(0, 1)] | None = None
    """Share of the area that is left in the middle; 0.9 if trained with image_aug."""
    resize_mode: Literal['squash', 'pad', 'crop'] | None = None
    """To the model's square: change the aspect, add black bars, or take the middle."""
    resize_filter: Literal['bicubic', 'lanczos3'] | None = None
    """How it is resized; lanczos3 as OpenVLA-OFT's evaluation does."""
    image_rotation: tuple[Literal[0, 90, 180, 270], ...] = ()
    """Degrees clockwise; one for all cameras, or one for each."""

    changes = ImageOptions.images


@dataclass(frozen=True, kw_only=True)
class Serve(Placed, Gated, Serving):
    """Serve one model to many robots over websockets, each with a cache of its own."""

    unnorm_key: str | None = None
    """Data set whose statistics scale state and actions."""
    threads: Index = 0
    """Of the model's steps on a CPU; 0: as many as others leave free. One less than there are
    cores keeps one for the clients."""
    seed: Index = 0
    """Of every session's gate and noise."""
    execute_steps: Count | None = None
    """Actions of a chunk that --drift-threshold is about (4; 1 for action tokens)."""
    seen: Seen = Seen()
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
            images=self.seen.changes(),
            sessions=self.sessions,
            threads=self.threads,
        )
