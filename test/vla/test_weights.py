# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files of tensors that are well formed and yet say what cannot be are refused in one line."""

import json
import re

import pytest
from safetensors.torch import save_file
import torch
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.weights import bare
from vla_cache_ros.vla.files.weights import collect
from vla_cache_ros.vla.files.weights import INDEX
from vla_cache_ros.vla.files.weights import read_safetensors
from vla_cache_ros.vla.files.weights import read_state_dict
from vla_cache_ros.vla.files.weights import shape_of
from vla_cache_ros.vla.files.weights import SINGLE
from vla_cache_ros.vla.files.weights import weight_files


@pytest.mark.parametrize('shape', [[-1, -1], [1.0], ['1'], [None], 1, None])
def test_shape_that_no_tensor_has_is_refused(tmp_path, shape):
    header = {'weight': {'dtype': 'F32', 'shape': shape, 'data_offsets': [0, 4]}}
    text = json.dumps(header).encode()
    path = tmp_path / 'model.safetensors'
    path.write_bytes(len(text).to_bytes(8, 'little') + text + bytes(4))
    with pytest.raises(CheckpointError, match='expected a complete safetensors file') as error:
        list(read_safetensors(path))
    assert '\n' not in str(error.value)


def test_index_of_thousands_of_files_is_refused(tmp_path):
    index = {'weight_map': {f'w{i}': f'{i}.safetensors' for i in range(1025)}}
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match='expected at most 1024 files, found 1025'):
        weight_files(tmp_path)


def test_a_single_file_goes_before_an_index(tmp_path):
    (tmp_path / INDEX).write_text(json.dumps({'weight_map': {'w': 'shard.safetensors'}}))
    assert weight_files(tmp_path) == [tmp_path / 'shard.safetensors']
    (tmp_path / SINGLE).touch()
    assert weight_files(tmp_path) == [tmp_path / SINGLE]


@pytest.mark.parametrize(
    'prefix', ['module.', '_orig_mod.', 'module._orig_mod.', '_orig_mod.module.module._orig_mod.']
)
def test_prefixes_of_training_come_off_in_either_kind_of_file(tmp_path, prefix):
    tensors = {f'{prefix}fc1.weight': torch.ones(2), f'{prefix}a._orig_mod.b': torch.zeros(1)}
    torch.save(tensors, tmp_path / 'head.pt')
    save_file(tensors, tmp_path / SINGLE)
    assert list(read_state_dict(tmp_path / 'head.pt')) == ['fc1.weight', 'a.b']
    assert {name for name, _ in read_safetensors(tmp_path / SINGLE)} == {'fc1.weight', 'a.b'}
    assert bare('submodule.a') == 'submodule.a' and bare('model.module.a') == 'model.module.a'


def test_names_that_are_one_without_their_prefixes_are_refused(tmp_path):
    torch.save({'module.a': torch.ones(1), '_orig_mod.a': torch.ones(1)}, tmp_path / 'head.pt')
    with pytest.raises(CheckpointError, match='expected a once, found it twice'):
        read_state_dict(tmp_path / 'head.pt')


def test_tensor_that_comes_twice_is_refused():
    pair = [('weight', torch.zeros(2))] * 2
    with pytest.raises(CheckpointError, match='expected weight once, found it twice'):
        collect({'weight': torch.Size([2])}, iter(pair), torch.float32, 'folder')


def test_tensor_of_another_rank_is_refused():
    assert shape_of('head.pt', 'weight', torch.zeros(2, 3), 2) == (2, 3)
    wanted = 'head.pt: weight: expected 3 dimensions, found [2, 3]'
    with pytest.raises(CheckpointError, match=re.escape(wanted)):
        shape_of('head.pt', 'weight', torch.zeros(2, 3), 3)
