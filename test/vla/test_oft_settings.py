# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an OpenVLA-OFT folder does not state is said, and may be stated in two places."""

import json
import logging
from pathlib import Path
import shutil
import warnings

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
from paths import DATA
import pytest
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import split_name

OFT = DATA / 'goldens' / 'oft'
STATED = 'num_images=2,chunk=8,normalization=bounds_q99'


@pytest.fixture
def folder(tmp_path):
    ignored = shutil.ignore_patterns('*.npz', 'film')
    return Path(shutil.copytree(OFT, tmp_path / 'run', ignore=ignored))


def load(name):
    """Return a model, and the warnings of loading it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        vla = load_checkpoint(name, need_tokenizer=False)
    return vla, [str(one.message) for one in caught]


def test_what_nothing_states_is_assumed_aloud(folder):
    vla, (told,) = load(folder)
    assert (vla.config.oft.num_images, vla.config.oft.chunk) == (2, 8)
    assert f'{folder}: openvla-oft: nothing in the folder states num_images 2, chunk 8, ' in told
    assert 'under the key "oft" of config.json, as {"num_images": 2, "chunk": 8}' in told
    assert '\n' not in told


def test_what_shapes_and_statistics_tell_is_not_assumed(folder):
    for path in folder.glob('action_head*'):
        path.unlink()
    vla, (told,) = load(folder)
    assert vla.config.oft.action_dim == 7 and vla.config.oft.proprio_dim == 8
    assert 'action_dim' not in told and 'action_head discrete' in told


def test_the_key_oft_states_some_and_leaves_the_others_to_the_files(folder):
    edit_json(folder / 'config.json', oft={'num_images': 1, 'normalization': 'bounds'})
    vla, (told,) = load(folder)
    oft = vla.config.oft
    assert (oft.num_images, oft.normalization, oft.action_head) == (1, 'bounds', 'l1')
    assert 'states chunk 8, ' in told and 'as {"chunk": 8}' in told
    edit_json(folder / 'config.json', oft={'num_images': 1, 'chunk': 8, 'normalization': 'bounds'})
    assert load(folder)[1] == []


def test_settings_behind_the_name_go_before_all(folder):
    edit_json(folder / 'config.json', oft={'num_images': 2})
    vla, told = load(f'{folder},num_images=1,chunk=4,normalization=bounds')
    assert (vla.config.oft.num_images, vla.config.oft.chunk, told) == (1, 4, [])
    assert vla.summary.startswith(
        'openvla-oft, 1 camera, robot state of 8, l1 head of 4 actions of 7 numbers; images: '
    )
    message = fault(f'{folder},colour=red', need_tokenizer=False)
    assert "oft: expected keys among ['num_images'" in message and "found 'colour'" in message
    assert 'oft.num_images: expected 1 to 64' in fault(f'{folder},num_images=0')


def test_a_policy_takes_the_settings_too(folder):
    for name in ('tokenizer.json', 'tokenizer_config.json'):
        shutil.copy(DATA / 'goldens' / 'tiny_tokenizer' / name, folder)
    policy = Policy.from_pretrained(
        f'{folder},num_images=3,chunk=4,normalization=bounds', unnorm_key='libero_spatial_no_noops'
    )
    assert (policy.num_images, policy.chunk) == (3, 4)
    assert policy.summary.startswith('openvla-oft, 3 cameras, ')


def test_a_name_is_split_at_its_settings_alone(tmp_path):
    assert split_name('a/b,num_images=1,use_proprio=False,action_head=l1') == (
        'a/b',
        {'num_images': 1, 'use_proprio': False, 'action_head': 'l1'},
    )
    for name in ('tabletop', 'a,b', 'run=3', 'a,b=1/c'):
        assert split_name(name) == (name, {})
    odd = tmp_path / 'x,chunk=3'
    odd.mkdir()
    assert split_name(odd) == (str(odd), {}) and resolve(odd) == odd


def test_every_load_says_in_the_log_what_it_took_the_folder_for(caplog):
    with caplog.at_level(logging.INFO, 'vla_cache_ros'):
        load_checkpoint('tabletop')
    (record,) = caplog.records
    assert record.getMessage().endswith(
        'tabletop: openvla-oft, 2 cameras, robot state of 8, l1 head of 8 actions of 7 numbers; '
        'images: squash to 224 (bicubic), no centre crop'
    )
    assert json.loads((resolve('tabletop') / 'config.json').read_text())['oft']['chunk'] == 8
