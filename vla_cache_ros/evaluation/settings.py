# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the measurements in closed loop and of time are asked. Loads nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Index
from vla_cache_ros.settings import Settings
from vla_cache_ros.settings import Share


@dataclass(frozen=True, kw_only=True)
class Episodes(Settings):
    """Say which episodes are run."""

    episodes: Count = 10
    """Number of episodes."""
    seed: Index = 0
    """Seed of the first episode; the next adds one."""


@dataclass(frozen=True, kw_only=True)
class Simulated(Episodes):
    """Say in which environment, too."""

    env: str = 'tabletop'
    """tabletop, libero_spatial, libero_object, libero_goal, libero_10, simpler_bridge,
    maniskill_pick_cube, or module:function of your own (docs/extend.md)."""
    task: tuple[str, ...] = ()
    """Name or number of a task of --env, instead of all; repeat."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Settings):
    """Say which model acts."""

    checkpoint: str = 'tabletop'
    """Checkpoint: `tabletop`, a folder, or a Hugging Face hub id; FOLDER,num_images=1,chunk=25
    says what an OpenVLA-OFT folder does not."""


@dataclass(frozen=True, kw_only=True)
class Gated(Checkpoint):
    """Say which policy acts: a model with a gate."""

    gate: str = 'learned'
    """Gate that chooses which visual tokens to recompute."""
    reuse: Share | None = None
    """Share of visual tokens taken from the cache; the gate knows its own default."""


@dataclass(frozen=True, kw_only=True)
class Placed(Settings):
    """Say where a model computes, and in which type."""

    device: str = 'cpu'
    """Torch device: cpu, cuda or cuda:N."""
    dtype: str = 'float32'
    """float32, bfloat16, float16, int8 or fp8."""


@dataclass(frozen=True, kw_only=True)
class InLoop(Simulated):
    """Say which episodes are run and where their figures go."""

    json: Path | None = None
    """File for the figures."""


@dataclass(frozen=True, kw_only=True)
class ClosedLoop(Placed, Gated, InLoop):
    """Evaluate one gate in closed loop."""

    gate: str = 'dense'
    """Gate that chooses which visual tokens to recompute."""


@dataclass(frozen=True, kw_only=True)
class DriftTrial(Gated, InLoop):
    """Measure how far cached actions are from dense ones, and what the drift guard notices."""

    broken: str | None = None
    """Break the gate: inverted, stuck or frozen-camera; the seeds run without a guard too."""
    threshold: Annotated[float, Bounds(0)] | None = None
    """Distance that is too far; the node's drift_threshold."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Placed, Checkpoint, Simulated):
    """Compare gates on the same seeds, by turns; several processes may share one folder."""

    out: Path
    """Folder of the comparison; one there goes on."""
    gate: tuple[str, ...] = ()
    """[label=]gate[@folder][,recovery|first|reuse|towers=X]; repeat."""
    reuse: tuple[Share, ...] = ()
    """Share taken from the cache; may be repeated."""
    shadow: Index = 0
    """Seeds, from the first, on which dense acts along, for the action error."""


@dataclass(frozen=True, kw_only=True)
class Benchmark(Settings):
    """Time the plain Hugging Face loop and every variant of the engine, by turns."""

    out: Path
    """Folder for figures, tables and plots."""
    checkpoint: str | None = None
    """`tabletop` (the default), a folder, or a hub id."""
    shape: str | None = None
    """Or openvla-7b, openvla-oft-7b, cogact-7b (16 GB), pi05, pi0 (7 GB), smolvla (1 GB): random
    weights."""
    cameras: Annotated[int, Bounds(1)] | None = None
    """Of a shape, in place of two."""
    empty_cameras: Index = 0
    """Cameras that the plain loop of smolvla, pi0 or pi05 computes and no one sees, as LeRobot
    does for those that a checkpoint has and a robot lacks."""
    steps: Annotated[int, Bounds(2)] | None = None
    """Timed steps of every variant, an episode's first not among them; 60, for a shape 4."""
    reuse: tuple[Share, ...] = ()
    """Share that learned-fixed takes from the cache; repeat."""
    dtype: str | None = None
    """float32 for a checkpoint, bfloat16 for a shape; or as given."""
    device: str = 'cpu'
    """Torch device: cpu, cuda or cuda:N."""
    seed: Index = 0
    """Seed of the first recorded episode."""
    busy: Index = 0
    """Run all once more beside so many busy processes."""
    sessions: tuple[Count, ...] = ()
    """Time so many sessions that are asked at once instead, together and in turn; repeat."""
