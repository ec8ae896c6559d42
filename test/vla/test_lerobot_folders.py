# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders that LeRobot saved are read as they are: sizes, cameras, units, prompts, data types."""

import json
import shutil

from damaged_checkpoint import edit_json
from lerobot_folders import copy_folder
from lerobot_folders import edit_steps
from lerobot_folders import edit_tensors
from lerobot_folders import GOLDENS
from lerobot_folders import KINDS
from lerobot_folders import published_folder
import numpy as np
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
import torch
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.families import find_family
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.lerobot.weights import module_tensors
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.shapes import shape_config

SUMMARIES = {
    'smolvla': 'smolvla, 2 cameras (front, wrist), robot state of 6 (MEAN_STD), actions of 7 '
    'numbers (MEAN_STD), chunks of 10 in 10 steps; images: letterbox to 512 (bilinear, bars left '
    'and above)',
    'pi0': 'pi0, 2 cameras (base, wrist), robot state of 8 (MEAN_STD), actions of 7 numbers '
    '(MEAN_STD), chunks of 10 in 10 steps; images: letterbox to 224 (bilinear, bars on both '
    'sides)',
    'pi05': 'pi05, 2 cameras (base, wrist), robot state of 8 in the prompt (QUANTILES), actions '
    'of 7 numbers (QUANTILES), chunks of 10 in 10 steps; images: letterbox to 224 (bilinear, bars '
    'on both sides)',
}


def tensors(folder):
    return dict(load_checkpoint(folder).model.state_dict())


def same_model(first, second):
    one, other = tensors(first), tensors(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize('kind', KINDS)
def test_a_folder_says_what_it_is(kind):
    vla = load_checkpoint(GOLDENS / kind)
    assert (vla.family, vla.summary) == (kind, SUMMARIES[kind])
    assert len(vla.statistics().action) == 7 and vla.config.flow.prompt_tokens in (48, 200)


@pytest.mark.parametrize('kind', KINDS)
def test_reading_needs_no_manifest_beyond_sizes_that_no_tensor_has(kind, tmp_path):
    folder = copy_folder(kind, tmp_path)
    (folder / 'manifest.json').unlink()
    own = {'vision_heads': 2, **({'head_dim': 8} if kind == 'smolvla' else {})}
    if kind == 'smolvla':
        for path in (folder / 'vlm').glob('tokenizer*'):
            shutil.move(path, folder)
        shutil.rmtree(folder / 'vlm')
    edit_json(folder / 'config.json', vla_cache_ros=own)
    assert same_model(folder, GOLDENS / kind)


@pytest.mark.parametrize('kind', KINDS)
def test_a_model_in_several_files_is_the_same(kind, tmp_path):
    folder = copy_folder(kind, tmp_path)
    found = load_file(folder / 'model.safetensors')
    names = sorted(found)  # q, k and v of one block fall into different files
    index = {}
    for part, chosen in (('a.safetensors', names[::2]), ('b.safetensors', names[1::2])):
        save_file({name: found[name] for name in chosen}, folder / part)
        index |= dict.fromkeys(chosen, part)
    (folder / 'model.safetensors').unlink()
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': index}))
    assert same_model(folder, GOLDENS / kind)


def test_names_of_other_converters_are_the_same_model(tmp_path):
    def older(found):
        for name in list(found):
            new = name.removeprefix('model.').replace('paligemma.model.', 'paligemma.')
            found[new.replace('vision_tower.vision_model.', 'vision_tower.')] = found.pop(name)
        del found['paligemma_with_expert.paligemma.language_model.embed_tokens.weight']
        found['paligemma_with_expert.paligemma.lm_head.weight'] = embeddings

    name = 'model.paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight'
    embeddings = load_file(GOLDENS / 'pi0' / 'model.safetensors')[name]
    folder = copy_folder('pi0', tmp_path)
    edit_tensors(folder / 'model.safetensors', older)
    assert same_model(folder, GOLDENS / 'pi0')


def test_cameras_are_called_as_the_robot_calls_them_in_the_models_order(tmp_path):
    def rename(steps):
        steps['rename_observations_processor']['config']['rename_map'] = {
            'observation.images.top': 'observation.images.wrist'
        }

    folder = copy_folder('pi05', tmp_path)
    config = json.loads((folder / 'config.json').read_text())
    features = config['input_features']
    turned = dict(sorted(features.items(), reverse=True))  # wrist before base
    edit_json(folder / 'config.json', input_features=turned)
    edit_steps(folder / 'policy_preprocessor.json', rename)
    vla = load_checkpoint(folder)
    assert vla.camera_names == ('top', 'base')
    policy = Policy.from_pretrained(str(folder))
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(InputError, match=r'expected 2 \(top, then base\), found 1'):
        policy.act(Observation([image], 'go', np.zeros(8)))
    with pytest.raises(InputError, match=r'image 1 \(base\): expected uint8'):
        policy.act(Observation([image, image[0]], 'go', np.zeros(8)))


def test_absent_cameras_are_no_cameras_of_the_robot():
    vla = load_checkpoint(GOLDENS / 'pi0')
    raw = json.loads((GOLDENS / 'pi0' / 'config.json').read_text())
    assert 'observation.images.empty_camera_0' in raw['input_features']
    assert vla.config.cameras == 2 and vla.camera_names == ('base', 'wrist')


def test_fewer_layers_are_taken_than_the_file_has(tmp_path):
    folder = copy_folder('smolvla', tmp_path)
    edit_json(folder / 'config.json', num_vlm_layers=2, num_expert_layers=2)

    def cut(found):
        for name in [name for name in found if '.lm_expert.layers.' in name]:
            if int(name.split('layers.')[1].split('.')[0]) >= 2:
                del found[name]

    edit_tensors(folder / 'model.safetensors', cut)
    assert load_checkpoint(folder).config.decoder().num_hidden_layers == 2
    for value in (0, -1):
        shutil.copy(GOLDENS / 'smolvla' / 'model.safetensors', folder)
        edit_json(folder / 'config.json', num_vlm_layers=value, num_expert_layers=-1)
        assert load_checkpoint(folder).config.decoder().num_hidden_layers == 4


@pytest.mark.parametrize('kind', KINDS)
def test_what_states_actions_and_times_go_through_stays_in_float32(kind):
    state = load_checkpoint(GOLDENS / kind, dtype=torch.bfloat16).model.state_dict()
    exact = {name for name, tensor in state.items() if tensor.dtype == torch.float32}
    parts = ('action_in_proj', 'action_out_proj', 'time_mlp', 'state_proj', 'proprio_projector')
    wanted = {name for name in state if any(f'{part}' in name for part in (*parts, '.dense.'))}
    assert exact == wanted and len(exact) >= 8


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('dtype', ['bfloat16', 'int8'])
def test_lighter_weights_act_nearly_alike(kind, dtype):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    size = 6 if kind == 'smolvla' else 8
    observation = Observation([image, image], 'pick up the cube', np.linspace(-0.3, 0.3, size))
    exact, light = (
        Policy.from_pretrained(str(GOLDENS / kind), dtype=one).act(observation)[0].normalized
        for one in ('float32', dtype)
    )
    assert 0 < np.abs(exact - light).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(('kind', 'most'), [('smolvla', 48), ('pi0', 48), ('pi05', 200)])
def test_an_instruction_that_leaves_no_room_is_refused_on_arrival(kind, most):
    policy = Policy.from_pretrained(str(GOLDENS / kind))
    policy.check_instruction('pick up the cube')
    with pytest.raises(InputError, match=f'expected a prompt of at most {most} tokens'):
        policy.check_instruction('pick up the cube ' * 20)


@pytest.mark.parametrize('kind', KINDS)
def test_int8_leaves_the_expert_as_it_is(kind):
    state = load_checkpoint(GOLDENS / kind, dtype=torch.int8).model.state_dict()
    held = {name for name, tensor in state.items() if tensor.dtype == torch.int8}
    assert {name.split('.')[0] for name in held} >= {'language_model', 'vision_backbone'}
    assert not {'action_head', 'proprio_projector'} & {name.split('.')[0] for name in held}


@pytest.mark.parametrize('kind', KINDS)
def test_every_tensor_of_the_published_sizes_has_its_place(kind, tmp_path):
    folder, count = published_folder(kind, tmp_path)
    raw = json.loads((folder / 'config.json').read_text())
    source = find_family(folder, raw).read(folder, raw)
    wanted, found = shape_config(kind), source.config
    assert found.flow.chunk == 50 and found.decoder().to_dict() == {
        **wanted.decoder().to_dict(),
        'pad_token_id': 0,
        'max_position_embeddings': 8192,
    }
    tower, published = found.towers[0], wanted.towers[0]
    assert (tower.num_heads, tower.inner, tower.depth, tower.group, tower.image_size) == (
        published.num_heads, published.inner, published.depth, published.group,
        published.image_size,
    )  # fmt: skip
    with torch.device('meta'):
        model = VLAModel(found)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    named = weights.read_shapes(folder / 'model.safetensors')
    layers = found.decoder().num_hidden_layers
    taken = weights.collect(
        shapes, module_tensors(named, kind, layers, kind), torch.bfloat16, str(folder)
    )
    heads = 1 if kind == 'smolvla' else 2  # that say tokens, and are left out
    joined = 4 * found.towers[0].depth  # of queries, keys and values with their biases
    assert len(taken) == count - heads - joined


@pytest.mark.parametrize(('kind', 'most'), [('smolvla', 2e9), ('pi0', 24e9), ('pi05', 24e9)])
def test_published_sizes_fit_a_card_in_bfloat16(kind, most):
    with torch.device('meta'):
        model = VLAModel(shape_config(kind))
    taken = model.weight_bytes(torch.bfloat16, torch.bfloat16)
    plain = 2 * sum(tensor.numel() for tensor in model.state_dict().values())
    assert plain < taken < min(most, 1.1 * plain)


@pytest.mark.slow
def test_smolvla_of_the_published_size_loads(tmp_path):
    folder, _ = published_folder('smolvla', tmp_path)
    vla = load_checkpoint(folder, dtype=torch.bfloat16, need_tokenizer=False)
    held = sum(tensor.nbytes for tensor in vla.model.state_dict().values())
    assert held == vla.model.weight_bytes(torch.bfloat16, torch.bfloat16) < 2e9
