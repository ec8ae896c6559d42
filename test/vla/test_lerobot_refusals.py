# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What cannot be run as it was trained is refused in one line: what was found, and what to do."""

import json
import shutil

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
from lerobot_folders import copy_folder
from lerobot_folders import edit_steps
from lerobot_folders import edit_tensors
from lerobot_folders import KINDS
from lerobot_folders import normalizer_file
import pytest
import torch
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files import place
from vla_cache_ros.vla.files.errors import CheckpointError

VISUAL = {'type': 'VISUAL', 'shape': [3, 480, 640]}
STATE = {'observation.state': {'type': 'STATE', 'shape': [8]}}
CAMERA = {'observation.images.base': VISUAL}
NO_CAMERA = {'observation.images.empty_camera_0': VISUAL, **STATE}


@pytest.fixture
def folder(request, tmp_path):
    """Return a copy of a golden folder, of pi0 unless the test names another."""
    return copy_folder(getattr(request, 'param', 'pi0'), tmp_path)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'type': 'act'}, "type: expected one of smolvla, pi0, pi05, found 'act'"),
        ({'type': 'pi0_fast'}, "found 'pi0_fast'; other policies of LeRobot are not run here"),
        ({'use_the_force': 1}, 'found use_the_force, whose meaning is not known here'),
        ({'num_steps': 10}, 'found num_steps, whose meaning is not known here'),
        ({'use_peft': True}, 'use_peft: expected false, found true: a PEFT adapter: load it'),
        ({'adapt_to_pi_aloha': True}, 'adapt_to_pi_aloha: expected false, found true: joints'),
        ({'use_delta_joint_actions_aloha': True}, 'expected false, found true: LeRobot itself'),
        ({'n_obs_steps': 2}, 'n_obs_steps: expected 1, found 2: several observations'),
        ({'rtc_training_max_delay': 4}, 'rtc_training_max_delay: expected 0, found 4'),
        ({'image_resolution': [224, 336]}, 'image_resolution: expected the sides of a square'),
        ({'image_resolution': [336, 336]}, 'expected pictures of 336 x 336 as its patches of 14'),
        ({'max_state_dim': 6}, 'observation.state: expected at most 6 numbers'),
        ({'max_action_dim': 4}, 'action: expected at most 4 numbers'),
        ({'chunk_size': 0}, 'chunk_size: expected 1 to 1024, found 0'),
        ({'num_inference_steps': '10'}, "num_inference_steps: expected 1 to 1000, found '10'"),
        ({'input_features': {}}, 'expected the feature observation.state, found no features: a b'),
        ({'input_features': None}, 'found no features: a base checkpoint knows no robot'),
        ({'input_features': CAMERA}, 'expected the feature observation.state, found observation'),
        ({'output_features': {}}, 'expected the feature action, found no features'),
        ({'input_features': NO_CAMERA}, 'input_features: expected a camera, found none'),
        ({'input_features': {'': VISUAL, **STATE}}, 'a feature without a name: expected a camera'),
        ({'input_features': {'observation.images.': VISUAL}}, 'expected a camera called observat'),
        ({'input_features': {'front': VISUAL}}, 'front: expected a camera called observation.im'),
        (
            {'input_features': {'observation.effort': {'type': 'STATE', 'shape': [6]}, **STATE}},
            'expected cameras, observation.state and action as features, found observation.effort',
        ),
        ({'input_features': {**CAMERA, 'observation.state': {'type': 'STATE'}}}, 'a shape of 1'),
        ({'input_features': {'observation.state': {'type': 'LIDAR', 'shape': [1]}}}, "'LIDAR'"),
        ({'use_relative_actions': True}, 'expected relative actions in both processors and in'),
        ({'vla_cache_ros': {'heads': 2}}, 'vla_cache_ros: expected vision_heads, head_dim, found'),
        ({'vla_cache_ros': {'vision_heads': 3}}, 'expected a vision_heads that divides 32, fou'),
        (
            {'vla_cache_ros': {'vision_heads': 2, 'head_dim': 48}},
            'expected a head_dim that divides 128, found 48; state it as "vla_cache_ros": {"head',
        ),
        ({'action_feature_names': ['x', 'y']}, 'action_names: expected 7, found 2'),
    ],
)  # fmt: skip
def test_a_configuration_is_refused(folder, changes, text):
    edit_json(folder / 'config.json', **changes)
    assert text in fault(folder)


@pytest.mark.parametrize('folder', ['smolvla'], indirect=True)
@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'add_image_special_tokens': True}, 'add_image_special_tokens: expected false, found tr'),
        ({'num_expert_layers': 2}, 'expected an expert of as many layers as the VLM, 4, found 2'),
        ({'num_vlm_layers': 16}, 'num_vlm_layers: expected at most the 4 layers of the weights'),
        ({'self_attn_every_n_layers': 3}, 'self_attn_every_n_layers: expected 2, found 3'),
        ({'attention_mode': 'self_attn'}, "attention_mode: expected 'cross_attn', found 'self_at"),
        ({'resize_imgs_with_padding': None}, 'resize_imgs_with_padding: expected the sides of a'),
        ({'vlm_model_name': 'elsewhere'}, 'expected a vision_heads that divides 32, found None'),
    ],
)
def test_a_configuration_of_smolvla_is_refused(folder, changes, text):
    (folder / 'manifest.json').unlink()
    edit_json(folder / 'config.json', **changes)
    assert text in fault(folder)


@pytest.mark.parametrize('folder', ['smolvla'], indirect=True)
@pytest.mark.parametrize(
    ('part', 'key', 'value'),
    [
        ('text_config', 'rms_norm_eps', 1e-6),
        ('text_config', 'hidden_act', 'gelu'),
        ('text_config', 'model_type', 'qwen2'),
        ('vision_config', 'layer_norm_eps', 1e-5),
        ('vision_config', 'hidden_act', 'gelu'),
    ],
)
def test_a_vlm_that_is_not_smolvlm2_is_refused(folder, part, key, value):
    path = folder / 'vlm' / 'config.json'
    raw = json.loads(path.read_text())
    edit_json(path, **{part: raw[part] | {key: value}})
    assert f'{part}.{key}: expected' in fault(folder)


@pytest.mark.parametrize('name', ['policy_preprocessor.json', 'policy_postprocessor.json'])
def test_a_folder_without_processors_is_one_of_before_04(folder, name):
    (folder / name).unlink()
    message = fault(folder)
    assert f'expected {name}, found none: a folder of before LeRobot 0.4' in message
    assert 'processor/migrate_policy_normalization.py' in message


def test_statistics_among_the_weights_are_those_of_before_04(folder):
    def old(found):
        found['normalize_inputs.buffer_observation_state.mean'] = torch.zeros(8)

    edit_tensors(folder / 'model.safetensors', old)
    assert 'found normalize_inputs.buffer_observation_state.mean in the weights' in fault(folder)


def test_a_base_checkpoint_has_no_statistics(folder):
    def empty(steps):
        for one in steps.values():
            one['config'].update({'features': {}} if 'features' in one['config'] else {})
            one.pop('state_file', None)

    for name in ('pre', 'post'):
        edit_steps(folder / f'policy_{name}processor.json', empty)
    assert (
        'expected the statistics action.mean and action.std of a feature action, found none: a '
        'base checkpoint knows no units; fine-tune it' in fault(folder)
    )


@pytest.mark.parametrize(('kind', 'feature'), [('pre', 'observation.state'), ('post', 'action')])
def test_statistics_under_other_names_are_listed(folder, kind, feature):
    (path,) = folder.glob(f'policy_{kind}processor_step_*')

    def rename(found):
        for name in [name for name in found if name.startswith(feature)]:
            found[f'so100.buffer.{name}'] = found.pop(name)

    edit_tensors(path, rename)
    message = fault(folder)
    assert f'expected the statistics {feature}.mean and {feature}.std' in message
    assert f'so100.buffer.{feature}.mean' in message


@pytest.mark.parametrize('value', [torch.zeros(3), torch.full((8,), torch.nan)])
def test_statistics_of_another_size_and_without_meaning_are_refused(folder, value):
    def change(found):
        found['observation.state.std'] = value

    edit_tensors(normalizer_file(folder), change)
    assert 'observation.state.std: expected 8 finite numbers, found [' in fault(folder)


@pytest.mark.parametrize('name', ['../away.safetensors', 'weights.bin', 7])
def test_a_state_file_elsewhere_is_refused(folder, name):
    def change(steps):
        steps['normalizer_processor']['state_file'] = name

    edit_steps(folder / 'policy_preprocessor.json', change)
    assert 'state_file: expected a .safetensors file beside it' in fault(folder)


def test_a_missing_state_file_is_named(folder):
    normalizer_file(folder).unlink()
    assert 'policy_preprocessor_step_6_normalizer_processor.safetensors, found none' in fault(
        folder
    )


def test_relative_actions_need_a_state_as_long(folder):
    def enable(steps):
        for name in ('relative_actions_processor', 'absolute_actions_processor'):
            if name in steps:
                steps[name]['config']['enabled'] = True

    raw = json.loads((folder / 'config.json').read_text())
    features = raw['input_features'] | {'observation.state': {'type': 'STATE', 'shape': [6]}}
    edit_json(folder / 'config.json', use_relative_actions=True, input_features=features)
    for name in ('pre', 'post'):
        edit_steps(folder / f'policy_{name}processor.json', enable)
    assert 'expected a state of at least the 7 numbers of an action' in fault(folder)


@pytest.mark.parametrize('name', ['adapter_config.json', 'adapter_model.safetensors'])
def test_a_peft_adapter_is_to_be_merged(folder, name):
    (folder / 'model.safetensors').unlink()
    (folder / name).write_text('{}')
    assert 'found a PEFT adapter: load it with LeRobot, call merge_and_unload()' in fault(folder)


@pytest.mark.parametrize('folder', KINDS, indirect=True)
@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_numbers_that_a_failed_training_left_are_named(folder, value):
    def spoil(found):
        found['model.action_out_proj.weight'][3, 4] = value

    edit_tensors(folder / 'model.safetensors', spoil)
    assert 'action_out_proj.weight: expected finite numbers, found NaN or infinity' in fault(
        folder
    )


@pytest.mark.parametrize('folder', KINDS, indirect=True)
@pytest.mark.parametrize(
    ('old', 'new', 'text'),
    [
        ('model.action_in_proj.bias', None, 'missing: action_head.action_in_proj.bias'),
        (None, 'model.value_head.weight', 'surplus: value_head.weight'),
        ('model.action_out_proj.weight', 'model.action_out.weight', 'surplus: action_out.weight'),
        ('.self_attn.q_proj.bias', None, 'expected q, k and v of'),
        ('patch_embedding.weight', 'patches.weight', 'expected the tensor vision_backbone.feat'),
    ],
)
def test_every_tensor_has_its_place(folder, old, new, text):
    def change(found):
        name = next((one for one in found if old and one.endswith(old)), None)
        tensor = torch.zeros(2, 2) if name is None else found.pop(name)
        if new:
            found[new] = tensor

    edit_tensors(folder / 'model.safetensors', change)
    assert text in fault(folder)


def test_lora_tensors_are_refused(folder):
    def adapt(found):
        found['model.action_in_proj.lora_A.weight'] = torch.zeros(4, 32)

    edit_tensors(folder / 'model.safetensors', adapt)
    assert 'expected merged weights, found LoRA' in fault(folder)


@pytest.mark.parametrize('folder', KINDS, indirect=True)
def test_a_missing_tokenizer_says_which_files_to_copy_where(folder, monkeypatch):
    def offline(name, patterns):
        raise CheckpointError(f'no route to {name}')

    monkeypatch.setattr('vla_cache_ros.vla.tokenizer.download', offline)
    for path in folder.rglob('tokenizer*.json'):
        path.unlink()
    message = fault(folder)
    assert f'{folder}: expected tokenizer.json or tokenizer.model, found neither' in message
    assert 'copy tokenizer.json and tokenizer_config.json of' in message
    if folder.name == 'smolvla':
        assert "nor in its folder 'vlm'" in message and 'SmolVLM2' in message
    else:
        assert 'nor on the hub as google/paligemma-3b-pt-224 (no route to' in message
        assert 'licence' in message


def test_a_tokenizer_is_taken_from_the_hub_by_its_name(folder, tmp_path, monkeypatch):
    away = shutil.copytree(folder, tmp_path / 'hub')
    asked = []
    monkeypatch.setattr(
        'vla_cache_ros.vla.tokenizer.download', lambda *given: asked.append(given) or away
    )
    for path in folder.glob('tokenizer*.json'):
        path.unlink()
    assert load_checkpoint(folder).prompt_ids('go')[0] == 2
    ((name, patterns),) = asked
    assert name == 'google/paligemma-3b-pt-224' and 'tokenizer.json' in patterns


def test_the_hubs_reason_is_one_line(monkeypatch):
    def refuse(name, **options):
        raise OSError('gated repo\nask for access')

    monkeypatch.setattr('huggingface_hub.snapshot_download', refuse)
    with pytest.raises(CheckpointError, match='^gated repo$'):
        place.download('some/one', ['*.json'])
    with pytest.raises(CheckpointError, match='no such folder, and as a hub id: gated repo$'):
        place.resolve('some/one')


@pytest.mark.parametrize('text', ['', '[]', '{', '{"steps": 3}', '{"steps": [1]}'])
@pytest.mark.parametrize('name', ['policy_preprocessor.json', 'policy_postprocessor.json'])
def test_a_damaged_processor_file_is_named(folder, name, text):
    (folder / name).write_text(text)
    assert name in fault(folder)
