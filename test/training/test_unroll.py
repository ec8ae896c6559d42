# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A step acts as the gate chose, and its gradient is that halfway between stale and new tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.training import unroll as module
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.unroll import Unroll
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve

from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    collect(folder, 24, 77, disturbed_expert(np.random.default_rng(0)), shard=24)
    return Recordings([folder])


def test_the_action_is_of_the_hard_choice_and_its_gradient_is_taken_halfway(
    recordings, monkeypatch
):
    vla = load_checkpoint(resolve('tabletop'))
    model = vla.model.requires_grad_(requires_grad=False)
    torch.manual_seed(0)
    monkeypatch.setattr(module, 'EXPLORED', 0.0)
    unroll = Unroll(model, GateNetwork(GateConfig()), streams=2, seed=0)
    frames = np.stack([recordings.training[0][:2], recordings.training[1][:2]], axis=1)
    inputs = [batch_inputs(vla, recordings, rows) for rows in frames]
    images = recordings.frames.images

    def choose(logits, noise):
        return torch.tensor([4]), torch.eye(logits.shape[1])[[4]]  # 70 %

    unroll.step(images(frames[0]), inputs[0], [True, True], choose)
    before = replace(unroll._cache)
    soft = torch.rand(1, 512, requires_grad=True)
    monkeypatch.setattr(module, 'soft_mask', lambda *_: soft)
    found = unroll.step(images(frames[1]), inputs[1], [False, True], choose)
    signs = torch.randn(found.output.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((found.output * signs).sum(), soft)

    ages = np.stack([past.ages() for past in unroll._past])
    hard = torch.from_numpy(ages == 1).float()  # what this step recomputed
    assert hard.sum(1).tolist() == [154, 512]
    acted = masked_step(model, *inputs[1], hard, replace(before))
    torch.testing.assert_close(found.output.detach(), acted)
    halfway = torch.tensor([0.5, 1.0])[:, None].repeat(1, 512).requires_grad_()
    through = masked_step(model, *inputs[1], halfway, before)
    (expected,) = torch.autograd.grad((through * signs).sum(), halfway)
    torch.testing.assert_close(gradient, expected[:1])
    assert found.gated.tolist() == [0]
