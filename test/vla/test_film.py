# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Towers that OpenVLA-OFT trained with FiLM are read as they were trained, LoRA merged."""

import shutil

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
from paths import DATA
import pytest
import torch
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.families.film import film_tensors

GOLDEN = DATA / 'goldens' / 'oft'
FILE = 'vision_backbone--150000_checkpoint.pt'
LAYER = 'vision_backbone.featurizer.blocks.0.block.attn.qkv'
PLAIN = 'vision_backbone.featurizer.blocks.0.attn.qkv.weight'
PROMPT = [1, 512, 29901, 29871]


@pytest.fixture
def folder(tmp_path):
    """Return a folder as a run with FiLM leaves it."""
    folder = tmp_path / 'run'
    shutil.copytree(GOLDEN, folder, ignore=shutil.ignore_patterns('*.npz', 'film'))
    shutil.copy(GOLDEN / 'film' / FILE, folder)
    return folder


def towers():
    return torch.load(GOLDEN / 'film' / FILE, weights_only=True)


def with_lora(state, rank):
    """Return the state as it is before merging, and the weight that has to come of it."""
    weight = state.pop(f'{LAYER}.weight')
    outputs, inputs = weight.shape
    down, up = torch.randn(rank, inputs), torch.randn(outputs, rank)
    state[f'{LAYER}.base_layer.weight'] = weight
    state[f'{LAYER}.base_layer.bias'] = state.pop(f'{LAYER}.bias')
    state[f'{LAYER}.lora_A.default.weight'], state[f'{LAYER}.lora_B.default.weight'] = down, up
    return {'weight': weight, 'product': up @ down}


def test_the_file_of_the_towers_makes_it_a_film_model(folder):
    vla = load_checkpoint(folder, need_tokenizer=False)
    assert vla.config.film and vla.family == 'openvla-oft'
    block = vla.model.vision_backbone.featurizer.blocks[0]
    state = towers()
    name = 'vision_backbone.featurizer.blocks.0'
    assert torch.equal(block.scale.weight, state[f'{name}.scale.weight'])
    assert torch.equal(block.attn.qkv.weight, state[f'{name}.block.attn.qkv.weight'])
    plain = load_checkpoint(GOLDEN, need_tokenizer=False)
    assert not plain.config.film and vla.fingerprint != plain.fingerprint


@pytest.mark.parametrize(('rank', 'scaling'), [(8, 1.0), (32, 0.5)])
def test_lora_is_merged_as_it_was_trained(folder, rank, scaling):
    state = towers()
    lora = with_lora(state, rank)
    torch.save({f'module.{name}': tensor for name, tensor in state.items()}, folder / FILE)
    found = dict(film_tensors(folder / FILE))
    assert torch.allclose(found[PLAIN], lora['weight'] + scaling * lora['product'])
    assert load_checkpoint(folder, need_tokenizer=False).config.film


def test_lora_that_does_not_fit_is_named(folder):
    state = towers()
    with_lora(state, 8)
    del state[f'{LAYER}.lora_B.default.weight']
    torch.save(state, folder / FILE)
    message = fault(folder, need_tokenizer=False)
    assert f'expected LoRA of {PLAIN} [96, 32] as B' in message and 'found B None' in message
    state[f'{LAYER}.lora_B.default.weight'] = torch.zeros(96, 8)
    state['vision_backbone.nowhere.lora_A.default.weight'] = torch.zeros(8, 32)
    torch.save(state, folder / FILE)
    assert 'the LoRA of vision_backbone.nowhere, found none' in fault(folder, need_tokenizer=False)


@pytest.mark.parametrize(
    ('up', 'down'),
    [
        (torch.zeros(96, 4), torch.zeros(8, 32)),
        (torch.zeros(96, 0), torch.zeros(0, 32)),
        (torch.zeros(()), torch.zeros(())),
        (torch.zeros(96, 8, dtype=torch.int64), torch.zeros(8, 32)),
        (torch.zeros(96, 8), torch.zeros(8, 32, dtype=torch.complex64)),
    ],
    ids=['ranks', 'no rank', 'scalars', 'whole numbers', 'complex numbers'],
)
def test_lora_that_is_none_is_refused_before_it_is_multiplied(folder, up, down):
    state = towers()
    with_lora(state, 8)
    state[f'{LAYER}.lora_A.default.weight'] = down
    state[f'{LAYER}.lora_B.default.weight'] = up
    torch.save(state, folder / FILE)
    assert f'expected LoRA of {PLAIN}' in fault(folder, need_tokenizer=False)


def test_towers_without_their_film_layers_are_refused(folder):
    state = {name: tensor for name, tensor in towers().items() if '.scale.' not in name}
    torch.save(state, folder / FILE)
    message = fault(folder, need_tokenizer=False)
    assert f'and {FILE}: ' in message
    assert 'missing: vision_backbone.featurizer.blocks.0.scale.weight' in message
    (folder / FILE).unlink()
    edit_json(folder / 'config.json', oft={'film': True})
    assert 'blocks.0.scale.weight' in fault(folder, need_tokenizer=False)


def test_a_film_model_that_was_saved_again_is_the_same_model(folder, tmp_path):
    vla = load_checkpoint(folder, need_tokenizer=False)
    save_checkpoint(tmp_path / 'again', vla.model, vla.norm_stats, dtype=torch.float32)
    again = load_checkpoint(tmp_path / 'again', need_tokenizer=False)
    assert again.config == vla.config
    pixels = torch.rand(1, 12, 224, 224)
    first, second = (
        model.vision_features(pixels, model.modulation(PROMPT))
        for model in (vla.model, again.model)
    )
    assert torch.equal(first, second)


def test_towers_that_wait_for_an_instruction_do_not_run_without(film):
    with pytest.raises(ValueError, match='film: expected the modulation of an instruction'):
        film.vision_features(torch.zeros(1, 12, 224, 224))


def test_a_gate_is_not_trained_through_film(folder):
    from vla_cache_ros.training.run import model_to_train_through

    for name in ('tokenizer.json', 'tokenizer_config.json'):
        shutil.copy(DATA / 'goldens' / 'tiny_tokenizer' / name, folder)
    assert Policy.from_pretrained(folder, unnorm_key='libero_spatial_no_noops').num_images == 2
    with pytest.raises(ValueError, match='found FiLM'):
        model_to_train_through(folder)
