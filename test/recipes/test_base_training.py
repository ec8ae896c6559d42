# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The base model can be trained on from a finished checkpoint, as in a round of DAgger."""

import numpy as np
import pytest
import torch
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

from recipes.base import BaseTrainer
from recipes.domains import LIBERO_OBJECT
from recipes.sizes import build_tokenizer
from recipes.sizes import tabletop_config
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert


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
    assert again.loop.done == 2 and torch.equal(again.model.state_dict()[weight], trained[weight])
    load_checkpoint(tmp_path / 'out' / 'model')


def test_a_domains_first_decoder_may_begin_as_another_ones(tmp_path):
    shards = tmp_path / 'shards'
    collect(shards, 2, 900, disturbed_expert(np.random.default_rng(0)), shard=2)
    other, shipped = load_checkpoint(resolve('libero-object')), load_checkpoint('tabletop')
    towers = shipped.model.vision_backbone.state_dict()
    torch.save({'towers': towers}, tmp_path / 'towers.pt')
    trainer = BaseTrainer(
        [shards], tmp_path / 'out', tmp_path / 'towers.pt', start='libero-object'
    )
    found, begun = trainer.model.state_dict(), other.model.state_dict()
    weight = 'language_model.model.layers.0.mlp.up_proj.weight'
    tower = 'vision_backbone.featurizer.pos_embed'
    assert torch.equal(found[weight], begun[weight])
    assert torch.equal(found[tower], shipped.model.state_dict()[tower])
    words = 'language_model.model.embed_tokens.weight'
    here, there = trainer.tokenizer.get_vocab(), other.tokenizer.get_vocab()
    shared = here.keys() & there.keys()
    assert '▁pick' in shared and '▁cube' in here.keys() - there.keys()
    for word in shared:
        assert torch.equal(found[words][here[word]], begun[words][there[word]])
    assert list(trainer.norm_stats) == ['tabletop'] and trainer.auxiliary > 0


def test_frames_of_another_domain_are_refused(tmp_path):
    collect(tmp_path / 'shards', 2, 900, disturbed_expert(np.random.default_rng(0)), shard=2)
    with pytest.raises(ValueError, match='1 cameras and 13 classes, as libero_object has, got 2'):
        BaseTrainer([tmp_path / 'shards'], tmp_path / 'out', None, domain=LIBERO_OBJECT)


def test_a_model_of_two_cameras_can_be_trained_on_with_one(tmp_path):
    shards = tmp_path / 'shards'
    collect(shards, 2, 900, disturbed_expert(np.random.default_rng(0)), shard=2)
    with np.load(shards / '0000.npz') as table:
        columns = dict(table)
    classes = len(LIBERO_OBJECT.classes)
    columns['shares'] = np.zeros((2, 1, PATCHES_PER_IMAGE, classes), np.uint8)
    columns |= {name: columns[name][:, :1] for name in ('named', 'nearby')}
    columns['task'] %= len(LIBERO_OBJECT.instructions)
    np.savez(shards / '0000.npz', **columns)
    images = np.load(shards / '0000.images.npy')
    np.save(shards / '0000.images.npy', images[:, :1])
    model = init_model(tabletop_config(cameras=2))
    stats = load_checkpoint(resolve('libero-object')).norm_stats
    save_checkpoint(
        tmp_path / 'two',
        model,
        stats,
        build_tokenizer(LIBERO_OBJECT),
        ImagePreprocessor.for_towers(model.config.towers),
    )
    start = str(tmp_path / 'two')
    trainer = BaseTrainer([shards], tmp_path / 'out', None, start=start, domain=LIBERO_OBJECT)
    trainer.train(until=1, batch=2, keep=80, peak=1e-3)
    assert load_checkpoint(tmp_path / 'out' / 'model').model.config.cameras == 1
