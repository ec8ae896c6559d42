# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plain loop of flow models computes what the model does; padding makes no difference."""

from gpu_checks import small
import pytest
import torch
import torch.nn.functional as F
from vla_cache_ros.evaluation.bench.flow_loop import PlainFlow
from vla_cache_ros.vla.flow.published import FLOW_SHAPES
from vla_cache_ros.vla.flow.sampler import FlowSampler
from vla_cache_ros.vla.model import init_model

TOKENS = 9  # of the prompt


@pytest.fixture(scope='module', params=FLOW_SHAPES)
def model(request):
    return init_model(small(request.param)).eval()


@pytest.fixture
def given(model):
    """Return pictures, prompt, state and noise."""
    draw = torch.Generator().manual_seed(1)
    side, flow = model.config.image_size, model.config.flow
    return (
        torch.rand(1, 6, side, side, generator=draw) * 2 - 1,
        torch.randint(3, 500, (1, TOKENS), generator=draw),
        torch.rand(1, flow.proprio_dim, generator=draw) * 2 - 1,
        model.action_head.noise(0, 3),
    )


def plain(model, given, empty=0):
    pixels, ids, state, noise = given
    loop = PlainFlow(model, empty)
    memory = loop.prefix(model.project(loop.see(pixels)), ids, state)
    return memory, loop.denoise(memory, noise, state)


@torch.inference_mode()
def test_the_chunk_is_that_of_the_model_without_padding(model, given):
    pixels, ids, state, noise = given
    visual = model.project(model.vision_features(pixels))
    memory = model.prefix(visual, ids, torch.ones_like(ids, dtype=torch.bool), state)
    whole = F.pad(state[0], (0, model.config.flow.state_size - state.shape[1]))
    wanted = FlowSampler(model.action_head)([memory], noise[None], whole[None])[0, :, :7]
    found = plain(model, given)[1]
    assert found.shape == (8, 7) and wanted.abs().max() > 0.1
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_absent_cameras_are_computed_and_change_nothing(model, given):
    memory, found = plain(model, given)
    more, again = plain(model, given, empty=1)
    flow, tokens = model.config.flow, model.config.tokens
    assert memory.keys[0].shape[2] == 2 * tokens + flow.prompt_tokens + int(flow.state_slot)
    assert more.keys[0].shape[2] == memory.keys[0].shape[2] + tokens
    torch.testing.assert_close(again, found, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_each_step_computes_anew_what_does_not_change(model, given, monkeypatch):
    calls = {}
    expert = model.action_head
    watched = {'state': expert.state_proj} if model.config.flow.state_row else {}
    if model.config.flow.adaptive:
        watched['norm'] = expert.layers[1].input_layernorm.dense
    if model.config.flow.smolvla:
        watched['crossed'] = expert.layers[1].self_attn.k_proj
    hooks = [
        module.register_forward_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
        for name, module in watched.items()
    ]
    plain(model, given)
    for hook in hooks:
        hook.remove()
    assert calls == dict.fromkeys(watched, model.config.flow.steps)


def test_a_prompt_that_is_too_long_is_refused(model, given):
    pixels, _, state, noise = given
    long = torch.ones(1, model.config.flow.prompt_tokens + 1, dtype=torch.long)
    with pytest.raises(ValueError, match=r'prompt: expected at most \d+ tokens, got'):
        plain(model, (pixels, long, state, noise))
