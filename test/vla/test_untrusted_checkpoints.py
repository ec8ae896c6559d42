# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder that a stranger wrote runs no code, reads no other file and takes no memory."""

import json
import os
from pathlib import Path
import shutil
import sys

from gate_samples import FINGERPRINT
from gate_samples import write_gate
from headroom import headroom
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import LARGEST
from vla_cache_ros.vla.files.json_file import read_json

INDEX = 'model.safetensors.index.json'


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'tiny', layers=1)


@pytest.fixture
def folder(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / 'tiny'))


def edit(path, place=(), **changes):
    content = json.loads(path.read_text())
    inner = content
    for key in place:
        inner = inner[key]
    inner.update(changes)
    path.write_text(json.dumps(content))


def fault(folder, megabytes=300, **options):
    with headroom(megabytes), pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, **options)
    message = str(caught.value)
    assert '\n' not in message and len(message) < 1000 and 'Memory' not in message
    return message


@pytest.mark.parametrize(
    ('place', 'change', 'words'),
    [
        (
            ('text_config',),
            {'hidden_size': 10**9},
            'hidden_size: expected 1 to 32768, found 10000',
        ),
        (('text_config',), {'num_hidden_layers': 10**6}, 'num_hidden_layers: expected 1 to 256'),
        (
            ('text_config',),
            {'vocab_size': 10**12},
            'vocab_size: expected 1 to 1048576, found 1000',
        ),
        (('text_config',), {'hidden_size': -32}, 'hidden_size: expected 1 to 32768, found -32'),
        (('text_config',), {'hidden_size': 32.0}, 'hidden_size: expected 1 to 32768, found 32.0'),
        (('text_config',), {'hidden_size': '32'}, "hidden_size: expected 1 to 32768, found '32'"),
        (('text_config',), {'hidden_size': [32]}, 'hidden_size: expected 1 to 32768, found [32]'),
        (('text_config',), {'hidden_size': True}, 'hidden_size: expected 1 to 32768, found True'),
        (('text_config',), {'hidden_size': 10**4000}, 'found 1e20 or beyond'),
        (('text_config',), {'hidden_size': 33}, 'text_config: expected a Llama'),
        (('text_config',), {'hidden_act': 'os.system'}, 'config.json: expected a model'),
        (('text_config',), {'rms_norm_eps': float('nan')}, 'rms_norm_eps: expected 0 to 1'),
        (('text_config',), {'rope_scaling': {'rope_type': 'x'}}, 'config'),
        (('text_config',), {'hidden_size': 512, 'vocab_size': 2**20}, 'misshapen: '),
        ((), {'text_config': [1]}, 'text_config: expected an object, found [1]'),
        ((), {'timm_model_ids': 'vit'}, "timm_model_ids: expected a list, found 'vit'"),
        ((), {'timm_model_ids': [['vit']]}, 'timm_model_ids: expected one of'),
        ((), {'timm_model_kwargs': [{'depth': 10**6}]}, 'depth of vit_small'),
        ((), {'timm_model_kwargs': [{'embed_dim': 1e9}]}, 'embed_dim of vit_small'),
        ((), {'timm_model_kwargs': [{'mlp_ratio': float('inf')}]}, 'mlp_ratio of vit_small'),
        ((), {'timm_model_kwargs': [{'num_heads': 5}]}, 'expected a divisor of embed_dim'),
        ((), {'timm_model_kwargs': 7}, 'timm_model_kwargs: expected a list, found 7'),
        ((), {'image_sizes': 224}, 'image_sizes: expected a list, found 224'),
        ((), {'n_action_bins': 10**12}, 'n_action_bins: expected 2 to 65536, found 1000000000000'),
        ((), {'pad_token_id': None}, 'pad_token_id: expected 0 to 1048576, found None'),
        ((), {'norm_stats': [1]}, 'norm_stats: expected an object, found [1]'),
        ((), {'oft': 3}, 'oft: expected an object, found 3'),
        (('oft',), {'num_images': 10**9}, 'oft.num_images: expected 1 to 64, found 1000000000'),
        (('oft',), {'chunk': 'many'}, "oft.chunk: expected 1 to 256, found 'many'"),
        (('oft',), {'use_proprio': 'no'}, "oft.use_proprio: expected true or false, found 'no'"),
        ((), {'cogact': [1]}, 'cogact: expected an object, found [1]'),
        ((), {'cogact': {'depth': 10**7}}, 'cogact.depth: expected 1 to 128, found 10000000'),
        ((), {'cogact': {'guidance': float('nan')}}, 'cogact.guidance: expected 1 to 1000'),
    ],
)
def test_sizes_that_no_model_has_are_refused_before_memory_is_taken(folder, place, change, words):
    edit(folder / 'config.json', place, **change)
    assert words in fault(folder, need_tokenizer=False)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'[' * 100_000, 'expected JSON, found damaged text'),
        (b'{"a":' * 100_000, 'expected JSON, found damaged text'),
        (b'{"a": ' + b'9' * 5000 + b'}', 'expected JSON, found damaged text'),
        (b'{"a": 1, "a": 2}', "the key 'a' twice"),
        (b'\xff\xfe', 'expected JSON, found damaged text'),
        (b'7', 'expected an object, found int'),
        (b'[]', 'expected an object, found list'),
        (b' ' * (LARGEST + 1), f'expected at most {LARGEST} bytes'),
    ],
)
def test_json_that_is_none_or_too_much_is_refused(folder, content, words):
    for name in ('config.json', 'preprocessor_config.json', 'dataset_statistics.json'):
        shutil.copy(folder / name, folder / 'kept')
        (folder / name).write_bytes(content)
        assert words in (message := fault(folder, need_tokenizer=False)) and name in message
        shutil.copy(folder / 'kept', folder / name)


def test_a_file_that_never_ends_is_not_read(folder):
    (folder / 'config.json').unlink()
    os.mkfifo(folder / 'config.json')
    assert 'config.json: expected a regular file' in fault(folder)
    (folder / 'config.json').unlink()
    (folder / 'config.json').symlink_to('/dev/zero')
    assert 'config.json: expected a regular file' in fault(folder)


def test_json_as_large_as_it_may_be_takes_a_bounded_memory(tmp_path):
    path = tmp_path / 'many.json'
    path.write_text('{"a": [' + '[],' * ((LARGEST - 20) // 3) + '0]}')
    with headroom(300):
        assert len(read_json(path)['a']) > 10**6


@pytest.mark.parametrize(
    'name',
    [
        '../model.safetensors', '/etc/passwd', 'a/model.safetensors', '..', '', 'model.pt', 7,
        None, ['model.safetensors'], {'a': 1}, 'model.safetensors\n', 'a\x00.safetensors',
        '~/x.safetensors',
    ],
)  # fmt: skip
def test_an_index_that_names_anything_but_files_beside_it_is_refused(folder, name):
    shutil.move(folder / 'model.safetensors', folder.parent / 'model.safetensors')
    (folder / INDEX).write_text(json.dumps({'weight_map': {'norm.weight': name}}))
    assert f'{INDEX}: weight_map: expected names of .safetensors files' in fault(folder)


def test_an_index_of_another_kind_or_of_very_many_files_is_refused(folder):
    (folder / 'model.safetensors').unlink()
    (folder / INDEX).write_text(json.dumps({'weight_map': ['model.safetensors']}))
    assert 'weight_map: expected an object' in fault(folder)
    many = {str(i): f'{i}.safetensors' for i in range(2000)}
    (folder / INDEX).write_text(json.dumps({'weight_map': many}))
    assert 'weight_map: expected at most 1024 files, found 2000' in fault(folder)


def test_links_to_blobs_as_in_the_hubs_cache_are_followed(folder):
    blob = folder.parent / 'blobs' / 'a1b2c3'
    blob.parent.mkdir()
    for name in ('model.safetensors', 'heads.safetensors'):
        shutil.move(folder / name, blob.with_suffix(f'.{name[0]}'))
        (folder / name).symlink_to(Path('..') / 'blobs' / f'a1b2c3.{name[0]}')
    names = load_file(folder / 'model.safetensors')
    (folder / 'model.safetensors').rename(folder / 'shard.safetensors')
    (folder / INDEX).write_text(
        json.dumps({'weight_map': dict.fromkeys(names, 'shard.safetensors')})
    )
    assert load_checkpoint(folder, need_tokenizer=False).family == 'openvla-oft'


@pytest.mark.parametrize(
    ('header', 'words'),
    [
        ((2**63).to_bytes(8, 'little'), 'a header of 9223372036854775808 bytes'),
        ((2**30).to_bytes(8, 'little') + b'{' * 100, 'a header of 1073741824 bytes'),
        (None, 'damaged one'),
    ],
)
def test_a_safetensors_header_that_promises_too_much_is_refused(folder, header, words):
    path = folder / 'model.safetensors'
    if header is None:  # a product that overflows
        entry = {'dtype': 'F32', 'shape': [2**40, 2**40], 'data_offsets': [0, 4]}
        text = json.dumps({'norm': entry}).encode()
        header = len(text).to_bytes(8, 'little') + text + bytes(4)
    path.write_bytes(header)
    assert words in fault(folder, need_tokenizer=False)


def test_numbers_of_another_kind_are_no_weights(folder):
    path = folder / 'model.safetensors'
    tensors = load_file(path)
    name = 'language_model.model.norm.weight'
    tensors[name] = tensors[name].to(torch.int8)
    save_file(tensors, path)
    assert f'{name}: expected floating-point numbers, found torch.int8' in fault(folder)


def test_code_beside_a_tokenizer_is_not_run(folder, capfd):
    code = (
        f'import sys; sys.modules["ran"] = sys; print("ran"); open({str(folder / "ran")!r}, "w")'
    )
    for name in ('code.py', 'tokenization_evil.py', 'configuration_prismatic.py', 'setup.py'):
        (folder / name).write_text(f'{code}\nclass Code:\n    pass\n')
    maps = {
        'AutoConfig': 'configuration_prismatic.Code',
        'AutoTokenizer': ['code.Code', 'code.Code'],
        'AutoModelForVision2Seq': 'code.Code',
    }
    edit(folder / 'config.json', auto_map=maps, trust_remote_code=True)
    edit(folder / 'config.json', ('text_config',), auto_map=maps, _attn_implementation='x/kernel')
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    for changes in (
        {'auto_map': maps},
        {'auto_map': maps, 'tokenizer_class': 'Code'},
        {'tokenizer_class': 'code.Code', 'trust_remote_code': True},
        {'tokenizer_class': 'os.system'},
        {'chat_template': template},
    ):
        edit(folder / 'tokenizer_config.json', **changes)
        try:
            loaded = load_checkpoint(folder)
        except CheckpointError as error:
            assert 'tokenizer' in str(error)
        else:
            assert loaded.model.language_model.config._attn_implementation == 'sdpa'
            assert loaded.prompt_ids('pick up red cube')[0] == 1
        assert not (folder / 'ran').exists() and 'ran' not in sys.modules
    assert 'ran' not in capfd.readouterr().out.splitlines()


def test_tokenizer_files_are_no_larger_than_tokenizers_are(folder):
    for name in ('tokenizer.json', 'tokenizer.model', 'tokenizer_config.json', 'vocab.json'):
        path = folder / name
        kept = path.read_bytes() if path.exists() else None
        with path.open('ab') as file:
            file.truncate(2**40)  # sparse: takes no disk
        assert f'{name}: expected at most 67108864 bytes' in fault(folder)
        path.unlink() if kept is None else path.write_bytes(kept)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'q01': [float('nan')] * 7}, 'expected finite numbers'),
        ({'q01': 'low'}, 'expected numbers'),
        ({'q01': [[0.0]] * 7}, 'expected vectors of one length'),
        ({'q01': [10**400] * 7}, 'expected numbers'),
        ({'q01': {'a': 1}}, 'expected numbers'),
        ({'q01': [0.0] * 10**5}, 'expected vectors of one length'),
        ({'mask': ['x', []]}, 'expected numbers'),
    ],
)
def test_statistics_that_are_no_numbers_are_named(folder, changes, words):
    loaded = load_checkpoint(folder, need_tokenizer=False)
    loaded.norm_stats['toy']['action'].update(changes)
    with headroom(), pytest.raises(CheckpointError, match=f'statistics of toy.action: .*{words}'):
        loaded.statistics()
    loaded.norm_stats['toy'] = 7
    with pytest.raises(CheckpointError, match='statistics of toy: expected an object, found 7'):
        loaded.statistics()


@pytest.mark.parametrize(
    ('place', 'changes', 'words'),
    [
        (('config',), {'width': 10**9}, 'width: expected 1 to 1024'),
        (('config',), {'depth': 10**9}, 'depth: expected 0 to 64'),
        (('config',), {'ratios': [10**400]}, 'int too large'),
        (('config',), {'ratios': [i / 10**5 for i in range(10**5)]}, 'predictor'),
        ((), {'default_reuse': 10**400}, 'int too large'),
        ((), {'calibration': {'x' * 1000: 0.0}}, 'could not convert'),
        ((), {'model_fingerprint': 'x' * 10**5}, 'made for another model'),
        ((), {'format': 'x' * 10**5}, 'expected format 2'),
    ],
)
def test_a_gate_folder_has_the_same_bounds(tmp_path, place, changes, words):
    gate = write_gate(tmp_path / 'gate')
    edit(gate / 'gate.json', place, **changes)
    with headroom(), pytest.raises(CheckpointError) as caught:
        load_gate_folder(gate, fingerprint=FINGERPRINT, cameras=2)
    message = str(caught.value)
    assert words in message and '\n' not in message and len(message) < 1000
    (gate / 'gate.json').write_bytes(b' ' * (LARGEST + 1))
    with pytest.raises(CheckpointError, match='expected at most'):
        load_gate_folder(gate, fingerprint=FINGERPRINT, cameras=2)
