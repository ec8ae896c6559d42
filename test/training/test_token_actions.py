# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model with action tokens has effects in the same unit as one with continuous actions."""

from dataclasses import replace

import numpy as np
from paths import DATA
import pytest
import torch
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.sensitivity import expected_actions
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor

GOLDEN = DATA / 'goldens' / 'openvla'


@pytest.fixture(scope='module')
def model():
    return load_checkpoint(GOLDEN, need_tokenizer=False).model.requires_grad_(False)


def inputs(model, image):
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(image)
    return values, torch.tensor([[1, 512, 29901, 1724, 29871]]), None, None


def test_a_certain_token_is_its_action(model):
    config = model.config
    wanted = np.linspace(-0.9, 0.9, 7)
    tokens = ActionTokens(config.action_vocab_end, config.n_action_bins)
    ids = torch.from_numpy(tokens.encode(wanted))
    logits = torch.zeros(1, 7, config.decoder().vocab_size)
    logits[0, torch.arange(7), ids] = 100.0
    found = expected_actions(config, logits)
    assert found.shape == (1, 1, 7)
    assert found[0, 0].numpy() == pytest.approx(tokens.decode(ids.numpy()), abs=1e-5)


def test_effects_are_those_of_recomputing_one_token_alone(model):
    rng = np.random.default_rng(0)
    before = rng.integers(0, 255, (1, 224, 224, 3), dtype=np.uint8)
    now = before.copy()
    now[0, :112] = rng.integers(0, 255, (112, 224, 3), dtype=np.uint8)
    end = model.config.action_vocab_end
    tokens, cache = torch.arange(end - 100, end - 93)[None], StaleCache()
    with torch.no_grad():
        masked_step(model, *inputs(model, before), torch.ones(1, 256), cache, tokens)
    generator = torch.Generator().manual_seed(3)
    effects, actions = sensitivity(
        model, inputs(model, now), cache, generator, action_tokens=tokens
    )
    assert actions.shape == (1, 1, 7)
    signs = torch.randint(0, 2, (1, 1, 7), generator=torch.Generator().manual_seed(3)) * 2.0 - 1
    for token in effects[0].topk(3).indices.tolist():
        ends = []
        for value in (0.45, 0.55):
            mask = torch.full((1, 256), 0.5)
            mask[0, token] = value
            with torch.no_grad():
                logits = masked_step(model, *inputs(model, now), mask, replace(cache), tokens)
            ends.append((expected_actions(model.config, logits) * signs).sum())
        slope = (ends[1] - ends[0]) / 0.1
        assert slope**2 == pytest.approx(float(effects[0, token]), rel=0.05)
