# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The effect of a token's staleness is what recomputing that token alone does to the action."""

from dataclasses import replace

import numpy as np
from paths import DATA
import pytest
import torch
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.training.settings import EXECUTED
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor

GOLDEN = DATA / 'goldens' / 'oft'


@pytest.fixture(scope='module')
def model():
    return load_checkpoint(GOLDEN, need_tokenizer=False).model.requires_grad_(False)


def inputs(model, images):
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(images)
    return values, torch.tensor([[1, 512, 29901, 1724, 29871]]), None, torch.zeros(1, 8)


def views():
    rng = np.random.default_rng(0)
    before = rng.integers(0, 255, (2, 224, 224, 3), dtype=np.uint8)
    now = before.copy()
    now[0, :112] = rng.integers(0, 255, (112, 224, 3), dtype=np.uint8)
    return before, now


def filled(model, images):
    cache = StaleCache()
    with torch.no_grad():
        masked_step(model, *inputs(model, images), torch.ones(1, 512), cache)
    return cache


def test_several_draws_are_averaged(model):
    before, now = views()
    given = model, inputs(model, now), filled(model, before)
    both = sensitivity(*given, torch.Generator().manual_seed(3), draws=2)[0]
    draws = torch.Generator().manual_seed(3)
    one, other = (sensitivity(*given, draws)[0] for _ in range(2))
    assert not torch.equal(one, other)
    torch.testing.assert_close(both, (one + other) / 2)


def test_effects_are_those_of_recomputing_one_token_alone(model):
    before, now = views()
    cache = filled(model, before)
    keys = [k.clone() for k in cache.keys]
    effects = sensitivity(model, inputs(model, now), cache, torch.Generator().manual_seed(3))[0][0]
    assert all(torch.equal(k, kept) for k, kept in zip(keys, cache.keys, strict=True))

    signs = torch.randint(0, 2, (1, EXECUTED, 7), generator=torch.Generator().manual_seed(3))
    signs = signs * 2.0 - 1
    for token in effects.topk(3).indices.tolist():
        ends = []
        for value in (0.49, 0.51):
            mask = torch.full((1, 512), 0.5)
            mask[0, token] = value
            with torch.no_grad():
                out = masked_step(model, *inputs(model, now), mask, replace(cache))
            ends.append((out[:, :EXECUTED].double() * signs).sum().item())
        slope = (ends[1] - ends[0]) / 0.02
        assert slope**2 == pytest.approx(effects[token].item(), rel=0.05)


def test_what_did_not_change_has_no_effect(model):
    before, now = views()
    cache = filled(model, before)
    same = sensitivity(model, inputs(model, before), cache, torch.Generator())[0]
    changed = sensitivity(model, inputs(model, now), cache, torch.Generator())[0]
    assert same.max() < 1e-6 * changed.max()


@pytest.mark.parametrize('executed', [EXECUTED, 8])
def test_with_labels_the_effect_is_that_on_the_distance_to_them(model, executed):
    before, now = views()
    cache = filled(model, before)
    labels = torch.rand(1, 8, 7, generator=torch.Generator().manual_seed(5)) * 2 - 1
    effects, actions = sensitivity(
        model, inputs(model, now), cache, torch.Generator(), labels=labels, executed=executed
    )
    assert actions.shape == (1, executed, 7)
    token = int(effects[0].argmax())
    distances = []
    for value in (0.499, 0.501):
        mask = torch.full((1, 512), 0.5)
        mask[0, token] = value
        with torch.no_grad():
            out = masked_step(model, *inputs(model, now), mask, replace(cache))
        distances.append((out - labels)[:, :executed].double().abs().sum().item())
    slope = (distances[1] - distances[0]) / 0.002
    assert slope**2 == pytest.approx(effects[0, token].item(), rel=0.05)


def test_an_error_weighs_more_the_slower_the_motion():
    actions = torch.zeros(3, EXECUTED, 7)
    actions[1, :, 0], actions[2, :, 2] = 0.5, -1.0
    assert precision(actions).tolist() == pytest.approx([100, 0.6**-2, 1.1**-2])
