# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run one training of a gate from start to end: load the model, read recordings, train.

Joins what the others do. Knows where recordings come from, and not how a gate learns.
"""

from dataclasses import replace
from pathlib import Path

from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.gate_settings import GateTraining
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve


def train_on_demonstrations(
    checkpoint: str, directories: list[Path], out: Path, training: GateTraining
) -> None:
    """Train a gate on folders of demonstrations and write OUT/gate."""
    recordings = Recordings(directories)
    GateTrainer(model_to_train_through(checkpoint), recordings, out, training).train()


def model_to_train_through(checkpoint: str, unnorm_key: str | None = None) -> LoadedVLA:
    """
    Load a model, frozen, with the statistics of one data set.

    Raises ValueError where its actions cannot be taught with, CheckpointError where the key is
    needed.
    """
    vla = load_checkpoint(resolve(checkpoint))
    vla.model.requires_grad_(requires_grad=False)
    found = None
    if vla.config.head is not None:
        found = f'the head of {vla.family}'
    elif vla.model.action_head is None and vla.config.oft is not None:
        found = 'tokens in chunks'
    if found:
        raise ValueError(
            f'{checkpoint}: expected an L1 action head or action tokens one after the other, '
            f'found {found}'
        )
    key = vla.statistics(unnorm_key).key
    return replace(vla, norm_stats={key: vla.norm_stats[key]})
