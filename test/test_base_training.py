# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base model can be trained on from a finished checkpoint, as in a round of DAgger."""

import numpy as np
import torch
from vla_cache_ros.training.base import BaseTrainer
from vla_cache_ros.training.demonstrations import collect
from vla_cache_ros.training.demonstrations import disturbed_expert
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve


def test_training_goes_on_from_a_checkpoint_and_resumes(tmp_path):
    shards = tmp_path / 'shards'
    collect(shards, 6, 900, disturbed_expert(np.random.default_rng(0)), shard=6)
    before = load_checkpoint(resolve('tabletop'))
    trainer = BaseTrainer([shards], tmp_path / 'out', None, start='tabletop')
    assert trainer.norm_stats == before.norm_stats
    wanted = before.model.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in trainer.model.state_dict().items())
    trainer.train(until=2, batch=2, keep=80, peak=1e-3)
    weight = 'language_model.model.layers.0.mlp.up_proj.weight'
    trained = trainer.model.state_dict()
    assert not torch.equal(trained[weight], wanted[weight])
    tower = 'vision_backbone.featurizer.pos_embed'
    assert torch.equal(trained[tower], wanted[tower])
    again = BaseTrainer([shards], tmp_path / 'out', None, start='tabletop')
    assert again.step == 2 and torch.equal(again.model.state_dict()[weight], trained[weight])
    load_checkpoint(tmp_path / 'out' / 'model')
