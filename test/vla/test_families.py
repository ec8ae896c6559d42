# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every folder is read as what it is; a run of CogACT's training as strictly as all others."""

from dataclasses import replace
import json
from pathlib import Path
import pickle
import shutil

from damaged_checkpoint import edit_json
from damaged_checkpoint import fault
from paths import DATA
import pytest
from tiny_cogact import cogact_config
from tiny_cogact import cogact_model
from tiny_cogact import HEAD
from tiny_cogact import published_modules
from tiny_cogact import write_cogact
from tiny_cogact import write_run
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla import families
from vla_cache_ros.vla.checkpoint import is_causal
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.families.cogact import BASES
from vla_cache_ros.vla.families.cogact import CogactConfig
from vla_cache_ros.vla.families.cogact import SIZES
from vla_cache_ros.vla.families.openvla import OpenVLA
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.shapes import shape_config

GOLDENS = DATA / 'goldens'


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run') / 'tiny')


@pytest.fixture
def run(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / 'run'))


def weights(folder):
    (path,) = (folder / 'checkpoints').glob('*.pt')
    return path


def edit(folder, change):
    """Save the file of weights again with its modules changed."""
    modules = published_modules(cogact_model())
    change(modules)
    torch.save({'model': modules}, weights(folder))


def test_each_folder_is_of_its_family(tmp_path, pristine):
    for name, folder in {
        'openvla': write_checkpoint(tmp_path / 'causal', causal=True),
        'openvla-oft': write_checkpoint(tmp_path / 'oft'),
        'cogact': write_cogact(tmp_path / 'cogact'),
    }.items():
        assert Policy.from_pretrained(folder).family == name
        assert is_causal(folder) is (name == 'openvla')
    assert load_checkpoint(pristine).family == 'cogact'
    assert load_checkpoint(GOLDENS / 'oft', need_tokenizer=False).family == 'openvla-oft'
    assert load_checkpoint(GOLDENS / 'openvla', need_tokenizer=False).family == 'openvla'
    for name in ('cogact', 'openvla', 'openvla-oft'):
        assert shape_config(f'{name}-7b').family == name


def test_a_run_folder_gives_every_tensor_under_our_names(pristine):
    model, loaded = cogact_model(), load_checkpoint(pristine)
    assert loaded.config.head == HEAD
    before, after = model.state_dict(), loaded.model.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert loaded.config.decoder().rms_norm_eps == 1e-5
    # the published run normalises with ImageNet's own constants, the port with rounded ones
    assert loaded.images.means == ((0.485, 0.456, 0.406), (0.5, 0.5, 0.5))
    assert loaded.statistics().key == 'toy'


def test_the_published_names_are_those_of_the_published_code():
    names = {module: set(state) for module, state in published_modules(cogact_model()).items()}
    assert set(names) == {'vision_backbone', 'llm_backbone', 'projector', 'action_model'}
    assert 'dino_featurizer.blocks.0.ls1.gamma' in names['vision_backbone']
    assert 'siglip_featurizer.attn_pool.latent' in names['vision_backbone']
    assert 'llm.model.layers.0.self_attn.q_proj.weight' in names['llm_backbone']
    assert names['projector'] == {
        f'projector.{i}.{kind}' for i in (0, 2, 4) for kind in ('weight', 'bias')
    }
    block = ('attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2')
    linear = [f'blocks.{i}.{name}' for i in range(2) for name in block]
    linear += [f'{name}_embedder.linear' for name in ('history', 'x', 'z')]
    linear += ['t_embedder.mlp.0', 't_embedder.mlp.2', 'final_layer.linear']
    assert names['action_model'] == {
        'net.positional_embedding',
        'net.z_embedder.uncondition',
        *(f'net.{name}.{kind}' for name in linear for kind in ('weight', 'bias')),
    }


@pytest.mark.parametrize('name', SIZES)
def test_heads_have_as_many_parameters_as_their_sizes_give(name):
    width, depth, heads = SIZES[name]
    with torch.device('meta'):
        head = CogactConfig(width, depth, heads).build(4096)
    block = 12 * width**2 + 9 * width
    embedders = 2 * 8 * width + 4097 * width + 257 * width + width**2 + width
    wanted = depth * block + embedders + 4096 + 17 * width + 7 * width + 7
    assert sum(parameter.numel() for parameter in head.parameters()) == wanted


def test_what_is_saved_is_what_is_loaded_bit_for_bit(tmp_path, pristine):
    loaded = load_checkpoint(pristine)
    save_checkpoint(
        tmp_path, loaded.model, loaded.norm_stats, loaded.tokenizer, loaded.images, torch.float32
    )
    again = load_checkpoint(tmp_path)
    assert (again.config.head, again.images) == (loaded.config.head, loaded.images)
    assert again.config.decoder().rms_norm_eps == 1e-5
    states = loaded.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    save_checkpoint(tmp_path, loaded.model, loaded.norm_stats, images=loaded.images)
    halved = load_checkpoint(tmp_path).model.state_dict()
    exact = 'action_head.net.x_embedder.linear.weight'  # a head is kept as it is
    assert torch.equal(halved[exact], states[0][exact])
    assert again.fingerprint != load_checkpoint(tmp_path).fingerprint


def test_missing_surplus_and_misshapen_tensors_are_named(run):
    def change(modules):
        del modules['llm_backbone']['llm.model.norm.weight']
        modules['projector']['projector.6.bias'] = torch.zeros(1)
        modules['vision_backbone']['dino_featurizer.pos_embed'] = torch.zeros(1, 4, 16)

    edit(run, change)
    message = fault(run)
    assert weights(run).name in message
    assert 'missing: language_model.model.norm.weight;' in message
    assert 'surplus: projector.projector.6.bias;' in message
    assert 'misshapen: vision_backbone.featurizer.pos_embed expected [1, 256, 16]' in message


def test_faults_of_the_head_are_named(run):
    def change(modules):
        head = modules['action_model']
        head['net.extra'] = head.pop('net.final_layer.linear.bias')
        head['net.z_embedder.uncondition'] = torch.zeros(1, 4096)

    edit(run, change)
    message = fault(run)
    assert 'missing: action_head.net.final_layer.linear.bias;' in message
    assert 'surplus: action_head.net.extra;' in message
    assert 'uncondition expected [1, 32] found [1, 4096]' in message
    edit(run, lambda modules: modules['action_model'].clear())
    assert 'missing: action_head.' in fault(run)


def test_a_second_averaged_head_is_left_aside_and_a_missing_module_is_named(run):
    edit(run, lambda modules: modules.update(ema_diffusion=modules['action_model']))
    load_checkpoint(run)
    edit(run, lambda modules: modules.pop('action_model'))  # OpenVLA's own run
    assert 'missing: action_model' in fault(run)
    edit(run, lambda modules: modules.update(optimizer={}))
    assert 'surplus: optimizer' in fault(run)


def test_the_file_is_read_as_tensors_only(run):
    path = weights(run)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b'', pickle.dumps(Path('code'), protocol=2)):
        path.write_bytes(damaged)
        assert f'{path}: expected a complete file of tensors' in fault(run)
    torch.save({'model': {'projector': Path('code')}}, path)
    assert f'{path}: expected a complete file of tensors' in fault(run)
    for content in ({'model': {'projector': {'a': 1}}}, {'weights': {}}, [torch.zeros(1)]):
        torch.save(content, path)
        assert f"{path}: expected the key 'model' with a dict of tensors" in fault(run)


def test_one_file_of_weights_is_expected(run):
    path = weights(run)
    shutil.copy(path, path.with_name('other.pt'))
    assert "expected one .pt file, found ['other.pt', 'step" in fault(run)
    shutil.rmtree(path.parent)
    assert 'expected one .pt file, found []' in fault(run)


def test_a_missing_tokenizer_says_which_files_to_copy_from_where(run):
    for path in run.glob('*token*'):
        path.unlink()
    message = fault(run)
    assert 'copy tokenizer.json, tokenizer.model,' in message and str(run) in message
    assert 'meta-llama/Llama-2-7b-hf' in message
    load_checkpoint(run, need_tokenizer=False)


def test_an_unknown_base_and_missing_statistics_are_named(run):
    (run / 'dataset_statistics.json').unlink()
    assert 'dataset_statistics.json' in fault(run)
    path = run / 'config.json'
    path.write_text(json.dumps({'vla': {'base_vlm': 'prism-phi+3b'}}))
    message = fault(run)
    assert "found 'prism-phi+3b'" in message and 'prism-dinosiglip-224px+7b' in message


def test_a_published_config_needs_no_sizes():
    raw = BASES['prism-dinosiglip-224px+7b']
    config = replace(shape_config('cogact-7b'), head=None, text=raw['text_config'])
    assert config.vision_dim == 2176 and config.hidden_dim == 4096
    assert config.decoder().rms_norm_eps == 1e-5
    assert shape_config('cogact-7b').decoder().rms_norm_eps == 1e-5


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'ddim_steps': 60}, 'ddim_steps: expected a number'),
        ({'colour': 3}, 'key cogact: .*colour'),
        ({'chunk': 9}, 'positional_embedding expected .10, 24. found .6, 24.'),
    ],
)
def test_a_config_this_package_cannot_run_says_which_key(run, given, words):
    edit_json(run / 'config.json', cogact={'num_heads': 3, **given})
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(run)


def test_heads_that_no_shape_tells_have_to_be_said(run):
    edit_json(run / 'config.json', cogact={})
    assert 'expected a head of width 384, 768, 1024, or num_heads' in fault(run)


def test_how_it_is_sampled_may_be_said_in_the_config(run):
    edit_json(run / 'config.json', cogact={'num_heads': 3, 'ddim_steps': 5, 'guidance': 2.0})
    head = load_checkpoint(run).model.action_head
    assert (len(head.times), head.guidance) == (5, 2.0)


def test_a_family_of_another_package_is_found_by_its_entry_point(monkeypatch, tmp_path):
    class Mine(OpenVLA):
        """Claim folders that say so."""

        name = 'mine'

        def detects(self, folder, raw):
            return 'mine' in raw

    class Point:
        """An entry point, as importlib gives it."""

        name = 'mine'

        def load(self):
            return Mine

    monkeypatch.setattr(families, 'FAMILIES', list(families.FAMILIES))
    monkeypatch.setattr(families, 'entry_points', lambda group: [Point()])
    folder = write_checkpoint(tmp_path / 'mine', causal=True)
    assert load_checkpoint(folder).family == 'openvla'
    edit_json(folder / 'config.json', mine=True)
    assert Policy.from_pretrained(folder).family == 'mine'
    assert [family.name for family in families.FAMILIES][0] == 'mine'


def test_the_config_is_what_the_head_is_built_from():
    config = cogact_config(chunk=3)
    assert (config.chunk, config.action_dim, config.proprio_dim) == (3, 7, 0)
    assert not config.decodes_tokens and not config.bidirectional and config.cameras == 1
    assert config.to_dict()['cogact']['chunk'] == 3
