# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The fused layers compute what transformers' layers compute, with the same weights."""

from dataclasses import replace

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import run
import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.model import init_model


def grouped(causal):
    """Return a model whose queries share keys and values in pairs."""
    config = tiny_config(causal)
    return init_model(replace(config, text={**config.text, 'num_key_value_heads': 2})).eval()


@pytest.mark.parametrize('name', ['causal', 'oft', 'grouped causal', 'grouped oft'])
def test_a_sequence_of_steps_is_the_same_with_either(name, request):
    grouping = name.startswith('grouped')
    model = grouped('causal' in name) if grouping else request.getfixturevalue(name)
    reference, fast = SlotEngine(model, capture=False), SlotEngine(model)
    for step, pixels in enumerate(frames(model, 4)):
        active = choice(fast, 1.0 if step == 0 else 0.3, step)
        layers = ((1, active & choice(fast, 0.5, 10 + step)),) if step > 1 else ()
        one, other = (
            run(engine, pixels, active, layers=layers, probe_layers=(0, 3))
            for engine in (reference, fast)
        )
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
        if one.tokens is not None:
            assert np.array_equal(one.tokens, other.tokens)
        assert np.abs(contents(reference) - contents(fast)).max() < 5e-5
        rows = (engine.cache.attention.rows for engine in (reference, fast))
        assert np.abs(np.subtract(*rows)).max() < 1e-5


def test_rows_that_are_not_read_are_left_out_of_the_last_layer(oft, monkeypatch):
    engine = SlotEngine(oft)
    widths = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def spy(query, *arguments, **options):
        widths.append(query.shape[2])
        return attend(query, *arguments, **options)

    (pixels,) = frames(oft, 1)
    run(engine, pixels)
    monkeypatch.setattr(fused.F, 'scaled_dot_product_attention', spy)
    run(engine, pixels)
    layers = len(engine.cache.layers)
    assert widths[-layers:] == [*[widths[-layers]] * (layers - 1), engine.layout.actions]
    assert widths[-layers] > 2 * engine.layout.actions


def test_two_engines_share_one_copy_of_the_weights(oft):
    before = oft.language_model.model.layers[0].self_attn.k_proj.weight.clone()
    first, second = (fused.fuse(oft.language_model) for _ in range(2))
    module = oft.language_model.model.layers[0]
    for layers in (first, second):
        assert layers[0].qkv.data_ptr() == module.self_attn.q_proj.weight.data_ptr()
        assert layers[0].gate_up.data_ptr() == module.mlp.gate_proj.weight.data_ptr()
    assert torch.equal(module.self_attn.k_proj.weight, before)
    assert torch.equal(first[0].qkv[len(before) : 2 * len(before)], before)


def test_a_llama_of_another_make_is_refused():
    config = tiny_config(layers=1)
    model = init_model(replace(config, text={**config.text, 'attention_bias': True}))
    with pytest.raises(CheckpointError, match='capture=False'):
        SlotEngine(model)
    (pixels,) = frames(model, 1)
    assert run(SlotEngine(model, capture=False), pixels).reuse == 0


def test_half_precision_stays_close(oft):
    (pixels,) = frames(oft, 1)
    wanted = run(SlotEngine(oft), pixels).normalized
    half = init_model(oft.config).eval()
    half.load_state_dict(oft.state_dict())
    half.to(torch.bfloat16)
    gaps = [
        np.abs(run(SlotEngine(half, capture=capture), pixels).normalized - wanted).max()
        for capture in (True, False)
    ]
    assert 0 < gaps[0] < 2 * gaps[1]
