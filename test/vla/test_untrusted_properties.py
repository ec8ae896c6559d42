# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Good folders with anything changed in them load, or say in one line what is wrong."""

from contextlib import contextmanager
import json
from pathlib import Path
import shutil

from damage import damaged_bytes
from damage import damaged_json
from gate_samples import FINGERPRINT
from gate_samples import write_gate
from headroom import headroom
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from safetensors.torch import load_file
from tiny_cogact import write_run
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.weights import read_modules
from vla_cache_ros.vla.files.weights import read_safetensors
from vla_cache_ros.vla.files.weights import read_state_dict
from vla_cache_ros.vla.files.weights import weight_files

CONFIG = tiny_config(layers=1).to_dict()
INDEX = 'model.safetensors.index.json'
REPORT = {
    'episode': 1, 'step': 2, 'gate': 'dense', 'instruction': 'a', 'image_stamps': [1, 2],
    'state_stamps': [3, 4], 'command_stamp': 5, 'actions': [[0.0] * 7] * 2,
}  # fmt: skip


def varied(examples, **options):
    """Return settings for tests that take files; slow machines have time."""
    return settings(
        max_examples=examples,
        deadline=20_000,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        **options,
    )


@contextmanager
def one_line(error=CheckpointError):
    """Let that error pass if it is one line, and nothing else; bound the memory."""
    try:
        with headroom(300):
            yield
    except error as raised:
        message = str(raised)
        assert message and '\n' not in message and len(message) < 2000
        assert 'Memory' not in message


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pristine')
    write_checkpoint(folder / 'oft', layers=1)
    write_run(folder / 'cogact', tokenizer=False)
    write_gate(folder / 'gate')
    heads = load_file(folder / 'oft' / 'heads.safetensors')
    torch.save({f'module.{k}': v for k, v in list(heads.items())[:3]}, folder / 'head.pt')
    torch.save({'model': {'one': dict(list(heads.items())[:2])}}, folder / 'modules.pt')
    return folder


@pytest.fixture
def folder(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / 'all', dirs_exist_ok=True))


@contextmanager
def damaged_json_file(path, data):
    """Damage the bytes or the structure of a JSON file for a while."""
    kept = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged_bytes(kept)))
    else:
        path.write_text(json.dumps(data.draw(damaged_json(json.loads(kept)))))
    try:
        yield
    finally:
        path.write_bytes(kept)


@given(damaged_json(CONFIG))
@varied(300)
def test_any_config_is_a_model_or_one_line(content):
    with one_line():
        if isinstance(content, dict):
            config = VLAConfig.from_dict(content)
            assert config.decoder().num_hidden_layers <= 256


@given(damaged_json(tiny_statistics()), st.sampled_from(['bounds', 'bounds_q99']))
@varied(300)
def test_any_statistics_are_bounds_or_one_line(content, kind):
    with one_line():
        if isinstance(content, dict):
            found = DatasetStatistics.select(content, None, kind)
            assert len(found.action.low) == len(found.action.high)


@pytest.mark.parametrize('kind', ['oft', 'cogact'])
@given(data=st.data())
@varied(15)
def test_any_json_of_a_folder_loads_or_is_one_line(folder, kind, data):
    path = (
        folder
        / kind
        / data.draw(
            st.sampled_from(
                sorted(p.name for p in (folder / kind).glob('*.json') if 'tok' not in p.name)
            )
        )
    )
    with damaged_json_file(path, data):
        with one_line():
            load_checkpoint(folder / kind, need_tokenizer=False)


@given(st.data())
@varied(40)
def test_any_tokenizer_file_loads_or_is_one_line(folder, data):
    name = data.draw(st.sampled_from(['tokenizer.json', 'tokenizer_config.json']))
    path = folder / 'oft' / name
    with damaged_json_file(path, data):
        with one_line(ValueError):
            load_checkpoint(folder / 'oft').prompt_ids('pick up red cube')


@given(st.data())
@varied(100)
def test_any_index_names_files_beside_it_or_is_one_line(folder, data):
    names = {'a': 'one.safetensors', 'b': 'two.safetensors'}
    content = data.draw(damaged_json({'metadata': {'total_size': 1}, 'weight_map': names}))
    (folder / INDEX).write_text(json.dumps(content))
    with one_line():
        assert all(path.parent == folder for path in weight_files(folder))


@given(st.data())
@varied(200)
def test_any_safetensors_file_is_tensors_or_one_line(folder, data):
    whole = (folder / 'gate' / 'gate.safetensors').read_bytes()
    end = 8 + int.from_bytes(whole[:8], 'little')
    header = data.draw(damaged_json(json.loads(whole[8:end])))
    text = json.dumps(header).encode()
    damaged = data.draw(
        st.one_of(
            st.just(len(text).to_bytes(8, 'little') + text + whole[end:]),
            damaged_bytes(whole[: end + 100]).map(lambda begin: begin + whole[end + 100 :]),
        )
    )
    path = folder / 'x.safetensors'
    path.write_bytes(damaged)
    with one_line():
        tensors = dict(read_safetensors(path))
        assert sum(tensor.nbytes for tensor in tensors.values()) <= len(damaged)


@pytest.mark.parametrize(
    ('name', 'read'), [('head.pt', read_state_dict), ('modules.pt', read_modules)]
)
@given(data=st.data())
@varied(200)
def test_any_file_of_tensors_is_tensors_or_one_line(folder, name, read, data):
    whole = (folder / name).read_bytes()
    begin = whole.index(b'data.pkl')
    pickle = whole[begin : begin + 1200]  # the pickle is where most goes wrong
    damaged = data.draw(
        st.one_of(
            damaged_bytes(whole),
            damaged_bytes(pickle).map(lambda new: whole[:begin] + new + whole[begin + 1200 :]),
        )
    )
    path = folder / 'x.pt'
    path.write_bytes(damaged)
    with one_line():
        assert isinstance(read(path), dict)


@given(data=st.data())
@varied(100)
def test_any_gate_folder_is_a_gate_or_one_line(folder, data):
    path = folder / 'gate' / 'gate.json'
    with damaged_json_file(path, data):
        with one_line():
            gate = load_gate_folder(folder / 'gate', fingerprint=FINGERPRINT, cameras=2)
            assert isinstance(gate, SavedGate) and 0 <= gate.default_reuse <= 1


@given(damaged_json(REPORT))
@varied(300)
def test_any_step_report_is_one_or_none(content):
    text = json.dumps(content)
    report = read_report(text)
    if report is not None:
        assert all(type(stamp) is int for stamp in report['image_stamps'])
        assert len({len(row) for row in report['actions']}) <= 1
    assert read_report(text[: len(text) // 2]) is None


def test_text_that_is_no_step_report_is_none():
    assert read_report(json.dumps(REPORT)) == REPORT
    for text in ('[' * 10**5, '7', '', 'null', '{}', '9' * 5000, json.dumps(REPORT) + ' ' * 2**20):
        assert read_report(text) is None
