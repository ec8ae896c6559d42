# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train a gate for a few updates: train_small_gate.py CHECKPOINT SHARDS OUT, under a launcher."""

from pathlib import Path
import sys

import torch
from vla_cache_ros.training import gate
from vla_cache_ros.training import walks
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.run import model_to_train_through
from vla_cache_ros.training.settings import GateTraining

walks.STREAMS, walks.STEPS = 2, 3
gate.STAGE1_SEGMENT = gate.SEGMENT = 2


def main(checkpoint: str, shards: str, out: str) -> None:
    """Train; each process writes the weights that it ends with to OUT/RANK.pt."""
    training = GateTraining(stage1=2, stage2=4, walks=2, batch=2)
    recordings = Recordings([Path(shards)], held_out=1)
    trainer = GateTrainer(model_to_train_through(checkpoint), recordings, Path(out), training)
    trainer.train()
    weights = trainer.network.state_dict()
    torch.save(weights, Path(out) / f'{trainer.accelerator.process_index}.pt')


if __name__ == '__main__':
    main(*sys.argv[1:])
