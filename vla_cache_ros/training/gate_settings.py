# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of a gate's training: what `vla-cache train gate` takes, checked."""

from dataclasses import dataclass

import numpy as np
from vla_cache_ros.training.predictor_losses import PREDICTORS
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import EXECUTED
from vla_cache_ros.vla.checkpoint import LoadedVLA

LOSSES = ('distill', 'demonstrations')
ALIGNMENTS = ('effects', 'attention')


@dataclass(frozen=True)
class GateTraining:
    """
    Say how a gate is trained.

    stage1, stage2: updates. align: what stage I teaches, one of ALIGNMENTS. walks: pieces of about
    270 samples for 'effects'. batch: frames per update and process. loss: 'distill' (the dense
    model's own actions, no labels) or 'demonstrations'. predictor: one of PREDICTORS. target: mean
    reuse that is held by moving the price of recomputing (lambda), or None to keep it. price: that
    price, None for the predictor's own start. relative: whether an action error counts by how slow
    the motion is. peak: learning rate. language: whether the gate sees the instruction.
    first_share: of the visual tokens, which an episode's first step shall compute. execute_steps:
    actions of a chunk that the robot carries out; the others do not count. start: folder
    of a gate of this model to begin with, None for random weights.
    """

    stage1: int = 4000
    stage2: int = 0
    align: str = 'effects'
    walks: int = 24
    batch: int = 8
    loss: str = 'distill'
    predictor: str = 'regressed'
    target: float | None = 0.77
    price: float | None = None
    relative: bool = True
    peak: float = 2e-3
    language: bool = True
    first_share: float = 0.75
    execute_steps: int = EXECUTED
    seed: int = 0
    start: str | None = None

    def __post_init__(self) -> None:
        """Check what a user may mistype."""
        if self.loss not in LOSSES:
            raise ValueError(f'loss: expected one of {", ".join(LOSSES)}, got {self.loss!r}')
        if self.align not in ALIGNMENTS:
            raise ValueError(f'align: expected one of {", ".join(ALIGNMENTS)}, got {self.align!r}')
        if self.predictor not in PREDICTORS:
            raise ValueError(
                f'predictor: expected one of {", ".join(PREDICTORS)}, got {self.predictor!r}'
            )
        if self.target is not None and not 0 < self.target < 0.9:
            raise ValueError(f'target: expected a mean reuse from 0 to 0.9, got {self.target}')
        if not 0 < self.first_share <= 1:
            raise ValueError(f'first_share: expected more than 0, to 1, got {self.first_share}')


def check_fit(training: GateTraining, vla: LoadedVLA, recordings: Recordings) -> None:
    """Raise ValueError unless settings, model and recordings fit each other."""
    tokens = vla.model.action_head is None
    if training.loss == 'demonstrations' and (tokens or 'actions' not in recordings.frames.table):
        raise ValueError(
            'loss: expected distill, since these recordings have no labels, or the model has '
            'action tokens, got demonstrations'
        )
    if tokens and (training.stage2 or training.align != 'effects'):
        raise ValueError(
            'stage2 and align: expected 0 and effects for a model with action tokens, got '
            f'{training.stage2} and {training.align}'
        )
    wanted, found = vla.config.cameras, recordings.frames.images(np.array([0])).shape[1]
    if found != wanted:
        raise ValueError(
            f'recordings: expected {wanted} cameras, as the model takes, found {found}'
        )
