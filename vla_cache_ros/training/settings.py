# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a gate is trained: options of `vla-cache train gate`, and their defaults. Loads nothing."""

from dataclasses import dataclass
from typing import Annotated
from typing import get_args
from typing import Literal

import tyro
from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Index
from vla_cache_ros.settings import Settings

EXECUTED = 4  # actions of a chunk that the robot carries out, where nothing else is said
Loss = Literal['distill', 'demonstrations']
Alignment = Literal['effects', 'attention']
Predictor = Literal['regressed', 'relaxed']


@dataclass(frozen=True, kw_only=True)
class GateTraining(Settings):
    """Say how a gate is trained."""

    stage1: Index = 4000
    """Updates of stage I."""
    stage2: Index = 0
    """Updates of stage II; see docs/explanation/gate.md."""
    align: Alignment = 'effects'
    """What stage I teaches: effects, or attention as in the paper."""
    walks: Count = 24
    """Pieces of about 270 samples that effects are taken from."""
    batch: Count = 8
    """Frames per update and process."""
    loss: Loss = 'distill'
    """distill (the dense model's own actions, no labels) or demonstrations."""
    predictor: Predictor = 'regressed'
    """regressed, or relaxed as in the paper."""
    target: float | None = 0.77
    """Mean reuse that is held by moving the price of recomputing; see --price."""
    price: Annotated[float, Bounds(0)] | None = None
    """Fixed price of recomputing (lambda), in place of a target."""
    relative: bool = True
    """Let an action error count by how slow the motion is; not for actions that are targets."""
    peak: Annotated[float, Bounds(0)] = 2e-3
    """Peak learning rate."""
    language: bool = True
    """Let the gate see the instruction."""
    first_share: float | None = None
    """Share of the tokens that an episode's first step computes; 0.75, with bags 1."""
    execute_steps: Count = EXECUTED
    """Actions of a chunk that the robot carries out; the others do not count."""
    flow_steps: Count = 1
    """Denoising steps that effects pass through, of a model that denoises actions by a flow."""
    seed: Index = 0
    """Seed of everything random."""
    # torchrun takes --start for an option of its own
    start: Annotated[str | None, tyro.conf.arg(name='from-gate')] = None
    """Folder of a gate to begin with, in place of random weights: of this model, or with
    --no-language of any; --stage1 0 then calibrates it for this model and leaves it as it is."""

    def __post_init__(self) -> None:
        """Check what a user may mistype."""
        super().__post_init__()
        for name, kind in (('loss', Loss), ('align', Alignment), ('predictor', Predictor)):
            known, value = get_args(kind), getattr(self, name)
            if value not in known:
                raise ValueError(f'{name}: expected one of {", ".join(known)}, got {value!r}')
        if self.target is not None and not 0 < self.target < 0.9:
            raise ValueError(f'target: expected a mean reuse from 0 to 0.9, got {self.target}')
        if self.first_share is not None and not 0 < self.first_share <= 1:
            raise ValueError(f'first_share: expected more than 0, to 1, got {self.first_share}')
