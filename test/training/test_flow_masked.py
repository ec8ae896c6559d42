# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Effects of stale tokens reach a gate through the expert of a flow model."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_flow import ACTION
from tiny_flow import CAMERAS
from tiny_flow import CHUNK
from tiny_flow import flow_model
from tiny_flow import FLOWS
from tiny_flow import squares
from tiny_flow import start
from tiny_flow import states
from tiny_flow import values
import torch
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.training.masked import denoise
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.predictor_losses import Relaxed
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.training.teacher import dense_step
from vla_cache_ros.training.unroll import Unroll
from vla_cache_ros.types import StepPlan

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 5, 3, 0, 0]])
REAL = IDS != 0
EXECUTED = 4


class Squares:
    """Give the towers the cameras' own pictures."""

    def normalize(self, pixels, images):
        return values(np.stack(images)[None])


@pytest.fixture(scope='module', params=FLOWS)
def model(request):
    return flow_model(request.param)


def inputs(model, seed=0):
    """Return a batch of two."""
    flow = model.config.flow
    state = None if flow.state_in_prompt else states(2, seed)
    return values(squares(model, 2, seed)), IDS, REAL, state


def tokens(model):
    return CAMERAS * model.config.tokens


def dense(model, given, begin):
    pixels, ids, real, state = given
    visual = model.project(model.vision_features(pixels))
    return denoise(model, model.prefix(visual, ids, real, state), state, begin)


def filled(model, seed=1):
    cache = StaleCache()
    with torch.no_grad():
        masked_step(model, *inputs(model, seed), torch.ones(2, tokens(model)), cache)
    return cache


@torch.no_grad()
def test_with_all_tokens_new_actions_are_the_dense_ones_whatever_was_cached(model):
    begin, every = start(model, 2), torch.ones(2, tokens(model))
    found = masked_step(model, *inputs(model), every, filled(model), start=begin)
    wanted = dense(model, inputs(model), begin)
    assert found.shape == (2, CHUNK, ACTION)
    assert action_distance(found, wanted, CHUNK).max() < 1e-6
    some = (torch.arange(tokens(model)) % 3 > 0).float().expand(2, -1)
    stale = masked_step(model, *inputs(model), some, filled(model), start=begin)
    assert action_distance(stale, wanted, CHUNK).min() > 1e-3


@torch.no_grad()
def test_the_teacher_answers_as_the_dense_model_and_says_what_text_attends_to(model):
    begin, given = start(model, 2), inputs(model)
    actions, attention = dense_step(model, *given, begin)
    assert torch.equal(actions, dense(model, given, begin))
    assert attention.shape == (2, tokens(model))
    # text sees images and text alone, in all layers but the last: in SmolVLA's too
    layers, heads = 3, 4
    total = attention.sum(1) / (layers * heads)
    assert (total > 0.5).all() and (total < 1).all()


def test_masked_steps_equal_the_engines_gathered_steps(model):
    # a prompt in a batch, beside a longer one: padding is seen by no one
    ids, flow = [int(i) for i in IDS[1, :3]], model.config.flow
    engine, cache = SlotEngine(model, images=Squares(), reuse_towers=True), StaleCache()
    masks = np.random.default_rng(0).random((4, tokens(model))) < 0.3
    masks[0] = True
    masks[2, : model.config.tokens] = False  # one camera rests
    for step, mask in enumerate(masks):
        images, state = squares(model, 2, step), states(2, step)
        size = model.config.picture_size
        pixels = np.ascontiguousarray(images[1, :, :size, :size])
        proprio = state[1].numpy()
        wanted = engine.step(
            pixels, engine.encode(pixels, list(images[1])), ids, proprio, StepPlan(mask)
        ).normalized
        given = (values(images), IDS, REAL, None if flow.state_in_prompt else state)
        noise = model.action_head.noise(0, step).expand(2, -1, -1)
        both = torch.from_numpy(mask).float().expand(2, -1)
        with torch.no_grad():
            found = masked_step(model, *given, both, cache, start=FlowStart(noise, flow.steps))
        assert np.abs(found[1].numpy() - wanted).max() < 1e-5, step
    for layer, kept in enumerate(engine.cache.layers):
        visual = slice(0, tokens(model))
        assert torch.allclose(kept.keys[0, :, visual], cache.keys[layer][1], atol=5e-5)
        assert torch.allclose(kept.values[0, :, visual], cache.values[layer][1], atol=5e-5)


def test_without_a_start_the_cache_goes_on_and_no_chunk_is_made(model):
    cache = StaleCache()
    found = masked_step(model, *inputs(model), torch.ones(2, tokens(model)), cache)
    assert found.numel() == 0
    assert [len(cache.keys), cache.keys[0].shape[2]] == [4, tokens(model)]


@pytest.mark.parametrize('steps', [1, 3])
def test_effects_are_those_of_recomputing_one_token_alone(model, steps):
    cache, begin = filled(model), start(model, 2, steps)
    kept = [keys.clone() for keys in cache.keys]
    draw = torch.Generator().manual_seed(3)
    effects, actions = sensitivity(model, inputs(model), cache, draw, executed=4, start=begin)
    assert all(torch.equal(one, other) for one, other in zip(kept, cache.keys, strict=True))
    assert actions.shape == (2, EXECUTED, ACTION)
    draw = torch.Generator().manual_seed(3)
    signs = torch.randint(0, 2, actions.shape, generator=draw) * 2.0 - 1
    for token in effects[0].topk(2).indices.tolist():
        ends = []
        for value in (0.49, 0.51):
            mask = torch.full((2, tokens(model)), 0.5)
            mask[0, token] = value
            with torch.no_grad():
                out = masked_step(model, *inputs(model), mask, replace(cache), start=begin)
            ends.append((out[0, :EXECUTED].double() * signs[0]).sum().item())
        slope = (ends[1] - ends[0]) / 0.02
        assert slope**2 == pytest.approx(effects[0, token].item(), rel=0.05)


def test_a_token_that_nothing_reads_has_no_effect(monkeypatch):
    model = flow_model('pi05', layers=1)  # what its only layer gives, nobody reads
    begin, given, unread = start(model, 2, 2), inputs(model), 300
    whole = model.prefix

    def hiding(*arguments):
        memory = whole(*arguments)
        memory.mask = memory.mask.clone()
        memory.mask[..., unread] = -torch.inf
        return memory

    monkeypatch.setattr(model, 'prefix', hiding)
    effects = sensitivity(model, given, filled(model), torch.Generator(), start=begin)[0]
    assert effects[:, unread].tolist() == [0, 0]
    assert (effects > 0).float().mean() > 0.99


@pytest.mark.parametrize('family', ['smolvla', 'pi05'])
def test_gradients_reach_selector_and_predictor_through_the_expert(family):
    model = flow_model(family)
    torch.manual_seed(0)
    grid = {'smolvla': 8, 'pi05': 16}[family]
    network = GateNetwork(GateConfig(cameras=CAMERAS, grid=grid))
    predictor = Relaxed(torch.tensor(network.config.ratios))
    unroll = Unroll(model, network, 2, seed=0)

    def choose(logits, noise):
        return predictor.choose(logits, 1.0, noise)

    begin = start(model, 2, 2)
    for seed in range(3):
        side = model.config.picture_size
        images = squares(model, 2, seed)[:, :, :side, :side]
        begins = [seed == 0] * 2
        step = unroll.step(
            np.ascontiguousarray(images), inputs(model, seed), begins, choose, begin
        )
    action_distance(step.output, dense(model, inputs(model, 2), begin), EXECUTED).sum().backward()
    for part in (network.selector, network.predictor[-1]):
        assert part.weight.grad.abs().sum() > 0
        assert part.weight.grad.isfinite().all()
