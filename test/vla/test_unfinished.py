# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder that lacks a part of what was trained is refused, with what completes it."""

import json
from pathlib import Path
import shutil

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.vla.checkpoint import load_checkpoint

MERGE = 'python vla-scripts/merge_lora_weights_and_save.py --base_checkpoint'


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    """Return an OFT model as its training leaves it, but for the names of the heads' tensors."""
    folder = write_checkpoint(tmp_path_factory.mktemp('checkpoint') / 'tiny')
    heads = load_file(folder / 'heads.safetensors')
    for module in ('action_head', 'proprio_projector'):
        state = {k.partition('.')[2]: v for k, v in heads.items() if k.startswith(module)}
        torch.save(
            {f'module.{k}': v for k, v in state.items()}, folder / f'{module}--9_checkpoint.pt'
        )
    (folder / 'heads.safetensors').unlink()
    config = json.loads((folder / 'config.json').read_text())
    del config['oft']
    (folder / 'config.json').write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / 'run'))


@pytest.fixture
def headless(folder):
    """Return the folder without its heads and without the statistics that give it away."""
    for path in folder.glob('*.pt'):
        path.unlink()
    found = json.loads((folder / 'dataset_statistics.json').read_text())
    for bounds in found['toy']['proprio']:
        found['toy']['proprio'][bounds] = [0.0] * 7  # as OpenVLA's training writes it
    (folder / 'dataset_statistics.json').write_text(json.dumps(found))
    return folder


def write_adapter(folder, base='openvla/openvla-7b'):
    folder.mkdir(exist_ok=True)
    (folder / 'adapter_config.json').write_text(json.dumps({'base_model_name_or_path': base}))
    save_file(
        {'base_model.model.a.lora_A.weight': torch.ones(1)}, folder / 'adapter_model.safetensors'
    )


def test_an_adapter_in_its_usual_place_is_named_with_the_command(tmp_path):
    run = tmp_path / 'run'
    run.mkdir()
    write_adapter(run / 'lora_adapter', 'mine/base')
    wanted = f'{MERGE} mine/base --lora_finetuned_checkpoint_dir {run}'
    for place in (run, run / 'lora_adapter'):
        message = fault(place)
        assert 'found a LoRA adapter' in message and message.endswith(f': {wanted}')


def test_an_adapter_that_is_all_there_is_has_to_be_moved_first(tmp_path):
    write_adapter(tmp_path / 'my run', base='; rm -rf')
    message, place = fault(tmp_path / 'my run'), tmp_path / 'my run'
    assert (
        f"mkdir '{place}/lora_adapter' && mv '{place}/'adapter_* '{place}/lora_adapter'/"
        in message
    )
    assert message.endswith(
        f"{MERGE} openvla/openvla-7b --lora_finetuned_checkpoint_dir '{place}'"
    )


def test_merged_weights_with_their_adapter_beside_are_no_matter(folder):
    write_adapter(folder / 'lora_adapter')
    assert load_checkpoint(folder).family == 'openvla-oft'
    write_adapter(folder)  # of the folder itself: the weights are not what was trained
    assert 'found a LoRA adapter' in fault(folder)


def test_unmerged_lora_among_the_weights_is_refused(folder):
    tensors = load_file(folder / 'model.safetensors')
    name = 'language_model.model.layers.0.mlp.up_proj.lora_A.default.weight'
    save_file({**tensors, name: torch.zeros(8, 32)}, folder / 'model.safetensors')
    message = fault(folder)
    assert f'found LoRA ({name})' in message and 'merge_and_unload' in message


def test_oft_without_its_files_is_not_run_as_openvla(folder):
    for path in folder.glob('*.pt'):
        path.unlink()
    message = fault(folder)
    assert 'expected action_head--N_checkpoint.pt' in message
    assert 'since dataset_statistics.json holds a robot state' in message
    edit_json(folder / 'config.json', oft={'action_head': 'discrete', 'use_proprio': False})
    assert load_checkpoint(folder).config.oft.action_head == 'discrete'
    edit_json(folder / 'config.json', oft=None)
    assert load_checkpoint(folder).family == 'openvla'


def leave_adapter(folder):
    write_adapter(folder / 'lora_adapter')


def leave_code(folder):
    text = 'from prismatic.vla.constants import NUM_ACTIONS_CHUNK\nraise SystemExit\n'
    (folder / 'modeling_prismatic.py').write_text(text)


def leave_projector(folder):
    (folder / 'noisy_action_projector--9_checkpoint.pt').touch()


def leave_name(folder):
    edit_json(
        folder / 'config.json', _name_or_path='runs/openvla-7b+toy--parallel_dec--8_acts_chunk'
    )


@pytest.mark.parametrize(
    ('leave', 'words'),
    [
        (leave_adapter, 'there is a lora_adapter'),
        (leave_code, "modeling_prismatic.py is OFT's"),
        (leave_projector, 'there is a noisy_action_projector'),
        (leave_name, 'the name is runs/openvla-7b+toy--parallel_dec'),
    ],
)
def test_each_trace_of_oft_is_enough(headless, leave, words):
    summary = load_checkpoint(headless).summary
    assert summary.startswith('openvla, 1 camera, no robot state, action tokens; images: ')
    leave(headless)
    assert words in fault(headless)


def test_a_folder_that_is_called_oft_is_taken_at_its_word(headless):
    assert 'the name is my-oft-run' in fault(headless.rename(headless.parent / 'my-oft-run'))
    (headless.parent / 'my-oft-run').rename(headless.parent / 'softly')
    (headless.parent / 'softly' / 'modeling_prismatic.py').write_text('class OpenVLA: ...')
    assert load_checkpoint(headless.parent / 'softly').family == 'openvla'
