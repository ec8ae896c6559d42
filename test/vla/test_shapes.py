# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Published sizes have the published parameters; random weights give a model that acts."""

import json

from bench_samples import observe
from gpu_checks import small
import numpy as np
from paths import DATA
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.shapes import parameter_count
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import shape_config

PUBLISHED = DATA / 'openvla7b_state_dict_shapes.json'
HEAD = 2 * 28672 + 28672 * 4096 + 4096 + 2 * (3 * 4096 + 4096**2) + 2 * 4096 + 4096 * 7 + 7
PROPRIO = 8 * 4096 + 4096 + 4096**2 + 4096


def test_parameters_are_as_many_as_published():
    assert parameter_count(shape_config('openvla-7b')) == 7_541_237_184
    assert parameter_count(shape_config('openvla-oft-7b')) == 7_541_237_184 + HEAD + PROPRIO


def test_cogact_is_openvla_and_its_head():
    head = parameter_count(shape_config('cogact-7b')) - 7_541_237_184
    assert head == 88_986_887  # DiT-B


def test_every_tensor_has_the_published_shape():
    with torch.device('meta'):
        model = VLAModel(shape_config('openvla-7b'))
    found = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert found == json.loads(PUBLISHED.read_text())


def test_flow_models_are_as_large_as_published():
    """Of each: SigLIP's blocks, the decoder's layers, the expert's layers, millions."""
    sizes = {'smolvla': (85, 157, 98), 'pi0': (411, 1982, 311), 'pi05': (411, 1982, 425)}
    for name, wanted in sizes.items():
        with torch.device('meta'):
            model = VLAModel(shape_config(name))
        parts = (
            model.vision_backbone.featurizer.blocks,
            model.language_model.model.layers,
            model.action_head.layers,
        )
        found = [sum(p.numel() for p in part.parameters()) / 1e6 for part in parts]
        assert [round(one) for one in found] == list(wanted), name


def test_shapes_take_other_numbers_of_cameras():
    assert [shape_config('pi05', count).cameras for count in (1, 2, 3)] == [1, 2, 3]
    assert shape_config('openvla-oft-7b', 3).oft.num_images == 3
    assert shape_config('smolvla').cameras == 2 and shape_config('cogact-7b', 1).cameras == 1
    with pytest.raises(ValueError, match='cameras: expected 1 for openvla-7b, got 2'):
        shape_config('openvla-7b', 2)


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match='openvla-oft-7b, smolvla, pi0, pi05, got .pi1'):
        shape_config('pi1')


def test_a_state_in_the_prompt_changes_it_and_not_its_length():
    vla = random_vla(small('pi05'))
    states = [np.zeros(8), np.full(8, 0.5)]
    prompts = [vla.prompt_ids('take it', state) for state in states]
    assert [len(ids) for ids in (*prompts, vla.prompt_ids('take it'))] == [60] * 3
    assert prompts[0] != prompts[1] and prompts[0][:28] == prompts[1][:28]


@pytest.mark.parametrize('causal', [False, True], ids=['oft', 'causal'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_random_weights_act(causal, dtype):
    vla = random_vla(tiny_config(causal), dtype=dtype)
    assert {parameter.dtype for parameter in vla.model.parameters()} == {dtype}
    policy = Policy(vla, make_gate('dense'))
    first, second = (policy.act(observe(seed, policy.num_images))[0] for seed in range(2))
    assert np.isfinite(first.actions).all() and np.isfinite(second.actions).all()
    assert first.actions.shape == ((1, 7) if causal else (8, 7))
    assert (first.actions != second.actions).any()


def test_weights_are_random_norms_are_one_biases_zero():
    model = random_vla(tiny_config(), dtype=torch.float32).model
    layer = model.language_model.model.layers[0]
    assert layer.mlp.gate_proj.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (layer.input_layernorm.weight == 1).all()
    assert (model.vision_backbone.featurizer.blocks[0].ls1.scale_factor == 1).all()
    assert (model.projector.fc1.bias == 0).all()
    assert len(layer.mlp.gate_proj.weight.unique(dim=0)) == 48
    attention = layer.self_attn
    assert (attention.q_proj.weight != attention.k_proj.weight).any()


def test_tokens_are_those_of_actions_and_not_all_the_same():
    policy = Policy(random_vla(tiny_config(causal=True)), make_gate('dense'))
    values = [policy.act(observe(seed, 1))[0].normalized for seed in range(4)]
    assert len(np.unique(values)) > 7
