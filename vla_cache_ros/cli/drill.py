# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verbs `vla-cache drill ...`, before an arm depends on a machine and a gate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vla_cache_ros.evaluation.settings import DriftTrial
from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Index
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class _Drill(Settings):
    """Say what a drill over ROS takes."""

    out: Path
    """Folder for the figures and logs."""
    minutes: Annotated[float, Bounds(0.1)] = 10.0
    """How long."""
    checkpoint: str = 'tabletop'
    """Model of two cameras with the parameters of config/tabletop.yaml."""
    gate: str = 'learned'
    """As for `vla-cache evaluate`."""


@dataclass(frozen=True, kw_only=True)
class Stream(_Drill):
    """Watch the commands of the policy while every core is busy with something else."""

    def __call__(self) -> bool:
        from vla_cache_ros.live.drill import drill_stream

        return drill_stream(**vars(self))['ok']


@dataclass(frozen=True, kw_only=True)
class Recorder(_Drill):
    """Record two cameras of 640 x 480 at 30 Hz beside the policy; 1 to 3.3 GB a minute."""

    def __call__(self) -> bool:
        from vla_cache_ros.live.drill import drill_recorder

        return drill_recorder(**vars(self))['ok']


@dataclass(frozen=True, kw_only=True)
class Drift(DriftTrial):
    """Measure how far cached actions are from dense ones, and what the drift guard notices."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.drift import run_drift

        run_drift(self)


@dataclass(frozen=True, kw_only=True)
class Growth(Settings):
    """Time steps as cameras are added, and as one episode grows very long."""

    out: Path
    """Folder for figures, tables and plots."""
    steps: Annotated[int, Bounds(10)] = 10_000
    """Steps of the long episode."""
    seed: Index = 0
    """Seed of the first recorded episode."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.bench.growth import run_growth

        run_growth(**vars(self))
