# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints load strictly: each fault is one line that names the file or the tensor."""

import json
from pathlib import Path
import pickle
import shutil

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
from paths import DATA
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
from tiny_model import tiny_config
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files import place
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import VLAModel

OFT = DATA / 'goldens' / 'oft'
NORM = 'language_model.model.norm.weight'


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'tiny')


@pytest.fixture
def folder(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / 'tiny'))


def edit_weights(folder, change, name='model.safetensors'):
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name, metadata={'format': 'pt'})


def test_what_is_saved_is_what_is_loaded(folder):
    model = init_model(tiny_config(), seed=0)
    loaded = load_checkpoint(folder)
    assert loaded.config == model.config
    before, after = model.state_dict(), loaded.model.state_dict()
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert torch.equal(tensor.bfloat16().float(), after[name]), name
    ids = loaded.prompt_ids('Pick up the red cube')
    assert (ids[0], ids[-1]) == (1, loaded.tokenizer.convert_tokens_to_ids('▁'))
    # the rotary tables are in no file: a loaded model must compute them
    embeds, positions = torch.randn(1, 9, 32), torch.arange(9)[None]
    expected = model.to(torch.bfloat16).float().decode(embeds, positions)
    assert torch.allclose(expected, loaded.model.decode(embeds, positions), atol=1e-6)


def test_shards_of_an_index_are_read(folder):
    tensors = load_file(folder / 'model.safetensors')
    names = sorted(tensors)
    parts = {'a.safetensors': names[::2], 'b.safetensors': names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    index = {'weight_map': {name: file for file, part in parts.items() for name in part}}
    (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
    (folder / 'model.safetensors').unlink()
    state = load_checkpoint(folder).model.state_dict()
    assert torch.equal(state[NORM], tensors[NORM].float())
    (folder / 'b.safetensors').unlink()
    assert 'b.safetensors' in fault(folder)


def test_missing_surplus_and_misshapen_tensors_are_named(folder):
    def change(tensors):
        tensors['language_model.extra'] = torch.zeros(1)
        tensors[NORM] = torch.ones(31)
        del tensors['projector.fc1.bias']

    edit_weights(folder, change)
    message = fault(folder)
    assert 'missing: projector.fc1.bias;' in message
    assert 'surplus: language_model.extra;' in message
    assert f'misshapen: {NORM} expected [32] found [31]' in message


def test_a_missing_head_tensor_is_named(folder):
    edit_weights(
        folder, lambda tensors: tensors.pop('action_head.model.fc2.bias'), 'heads.safetensors'
    )
    assert 'missing: action_head.model.fc2.bias' in fault(folder)
    (folder / 'heads.safetensors').unlink()
    assert 'missing: action_head.' in fault(folder)


@pytest.mark.parametrize('size', [0, 4, 3000])
def test_a_truncated_weight_file_is_named(folder, size):
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:size])
    message = fault(folder)
    assert 'model.safetensors' in message and 'damaged' in message


def test_missing_and_damaged_files_are_named(folder):
    (folder / 'config.json').write_text('{"timm_model_ids": [')
    assert 'config.json: expected JSON' in fault(folder)
    (folder / 'config.json').unlink()
    assert 'config.json' in fault(folder)


def test_missing_weights_are_named(folder):
    (folder / 'model.safetensors').unlink()
    assert 'expected model.safetensors or model.safetensors.index.json' in fault(folder)


def test_a_missing_tokenizer_says_what_to_do(folder):
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        (folder / name).unlink()
    assert 'tokenizer.json' in fault(folder) and 'copy' in fault(folder)
    loaded = load_checkpoint(folder, need_tokenizer=False)
    with pytest.raises(CheckpointError, match='tokenizer'):
        loaded.prompt_ids('pick up')


def test_a_tokenizer_of_another_model_is_refused(folder):
    shutil.copy(DATA / 'goldens' / 'tiny_tokenizer' / 'tokenizer.json', folder)
    assert 'below vocab_size 576, found 32000' in fault(folder)


def test_a_damaged_tokenizer_is_named(folder):
    (folder / 'tokenizer.json').write_text('{')
    assert 'tokenizer' in fault(folder)


def test_prompts_equal_the_recorded_ids():
    from transformers import AutoTokenizer
    from vla_cache_ros.vla.prompt import encode_prompt

    tokenizer = AutoTokenizer.from_pretrained(DATA / 'goldens' / 'tiny_tokenizer')
    cases = json.loads((DATA / 'goldens' / 'tiny_tokenizer' / 'cases.json').read_text())
    start, end = 'In: What action should the robot take to ', '?\nOut:'
    asked = {case['text'].removeprefix(start).removesuffix(end): case['ids'] for case in cases}
    lower = [text for text in asked if text == text.lower() and start not in text]
    assert len(lower) >= 2
    for text in lower:
        assert encode_prompt(tokenizer, f' {text.upper()} ') == [*asked[text], 29871]


def test_unknown_unnorm_key_lists_the_known_ones(folder):
    loaded = load_checkpoint(folder)
    assert loaded.statistics().key == 'toy'
    with pytest.raises(CheckpointError, match=r"expected one of \['toy'\], found 'libero'"):
        loaded.statistics('libero')
    stats = {'a': loaded.norm_stats['toy'], 'b': loaded.norm_stats['toy']}
    (folder / 'dataset_statistics.json').write_text(json.dumps(stats))
    with pytest.raises(CheckpointError, match=r"expected one of \['a', 'b'\], found None"):
        load_checkpoint(folder).statistics()


def test_dataset_statistics_replace_those_of_the_config(folder):
    edit_json(folder / 'config.json', norm_stats={'old': {}})
    assert list(load_checkpoint(folder).norm_stats) == ['toy']
    (folder / 'dataset_statistics.json').unlink()
    assert list(load_checkpoint(folder).norm_stats) == ['old']


def test_incomplete_statistics_are_named(folder):
    stats = json.loads((folder / 'dataset_statistics.json').read_text())
    del stats['toy']['action']['q99']
    (folder / 'dataset_statistics.json').write_text(json.dumps(stats))
    with pytest.raises(CheckpointError, match="toy.action: expected the key 'q99'"):
        load_checkpoint(folder).statistics()


def test_image_constants_must_fit_the_towers(folder):
    edit_json(folder / 'preprocessor_config.json', tvf_normalize_params=[])
    assert 'expected 1 entries in tvf_normalize_params' in fault(folder)
    (folder / 'preprocessor_config.json').unlink()
    assert 'preprocessor_config.json' in fault(folder)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'timm_model_ids': ['vit_unknown']}, "found 'vit_unknown'"),
        ({'timm_model_kwargs': [{'patch_size': 16}]}, "found 'patch_size'"),
        ({'use_fused_vision_backbone': True}, 'expected 2 timm_model_ids'),
        ({'image_sizes': [384]}, 'expected image_sizes 224'),
        ({'oft': {'action_head': 'flow'}}, "found 'flow'"),
        ({'oft': {'colour': 3}}, 'colour'),
    ],
)
def test_a_config_this_package_cannot_run_says_which_key(folder, change, words):
    edit_json(folder / 'config.json', **change)
    assert words in fault(folder)


def test_published_heads_decide_what_an_oft_folder_is():
    oft = load_checkpoint(OFT, need_tokenizer=False).config.oft
    assert (oft.action_head, oft.use_proprio, oft.proprio_dim, oft.action_dim) == (
        'l1',
        True,
        8,
        7,
    )
    causal = load_checkpoint(DATA / 'goldens' / 'openvla', need_tokenizer=False)
    assert causal.config.oft is None and causal.model.action_head is None


def test_head_files_are_read_as_tensors_only(tmp_path):
    folder = Path(shutil.copytree(OFT, tmp_path / 'oft'))
    path = folder / 'action_head--150000_checkpoint.pt'
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert path.name in fault(folder, need_tokenizer=False)
    path.write_bytes(pickle.dumps(Path('code'), protocol=2))
    assert path.name in fault(folder, need_tokenizer=False)
    torch.save({'module.model.fc1.weight': 'text'}, path)
    assert 'expected a dict of tensors' in fault(folder, need_tokenizer=False)
    path.write_bytes(content)
    shutil.copy(path, folder / 'action_head--50000_checkpoint.pt')
    assert 'expected one file for action_head' in fault(folder, need_tokenizer=False)


def test_a_diffusion_head_is_refused_by_name(tmp_path):
    folder = Path(shutil.copytree(OFT, tmp_path / 'oft'))
    path = folder / 'action_head--150000_checkpoint.pt'
    torch.save({'module.noise_predictor.mlp_resnet.fc1.weight': torch.zeros(2, 2)}, path)
    assert 'found a diffusion head' in fault(folder, need_tokenizer=False)


def test_a_path_that_is_nothing_and_a_hub_id_that_fails_are_told_apart(monkeypatch, folder):
    import huggingface_hub

    assert "found './nowhere'" in fault('./nowhere')
    asked = {}

    def download(name, allow_patterns):
        asked.update(name=name, patterns=allow_patterns)
        if name == 'owner/absent':
            raise OSError('offline')
        return str(folder)

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', download)
    assert 'as a hub id: offline' in fault('owner/absent')
    assert load_checkpoint('owner/model').folder == folder
    assert not any(pattern.endswith(('.py', '*')) for pattern in asked['patterns'])


def test_the_packaged_name_comes_before_a_folder(monkeypatch, folder, tmp_path):
    monkeypatch.setattr(place, 'PACKAGED', folder.parent)
    monkeypatch.chdir(tmp_path)
    assert load_checkpoint('tiny').folder == folder


def test_names_and_shapes_of_the_published_7b_model():
    wanted = json.loads((DATA / 'openvla7b_state_dict_shapes.json').read_text())
    raw = {
        'timm_model_ids': [
            'vit_large_patch14_reg4_dinov2.lvd142m',
            'vit_so400m_patch14_siglip_224',
        ],
        'text_config': {'model_type': 'llama', 'vocab_size': 32064, 'pad_token_id': 32000},
        'tie_word_embeddings': True,
    }
    with torch.device('meta'):
        model = VLAModel(VLAConfig.from_dict(raw))
    state = model.state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == wanted
    llama = model.config.decoder()
    assert (llama.rms_norm_eps, llama.tie_word_embeddings) == (1e-6, False)


def test_both_kinds_of_config_survive_a_round_trip():
    for config in (tiny_config(), tiny_config(causal=True), VLAConfig.from_pretrained(OFT)):
        assert VLAConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
