# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold a gate folder to what it was made for."""

import json

from gate_samples import CALIBRATION
from gate_samples import FINGERPRINT
from gate_samples import gate_of
from gate_samples import inputs
from gate_samples import network
from gate_samples import saved
from gate_samples import write_gate
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
import torch
from vla_cache_ros.caching.gates import gate_folder
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import save_gate
from vla_cache_ros.vla.files.errors import CheckpointError


@pytest.mark.parametrize('language_dim', [0, 8])
def test_a_saved_gate_comes_back_with_the_same_scores(tmp_path, language_dim):
    made = network(language_dim=language_dim)
    loaded = load_gate_folder(write_gate(tmp_path, made), fingerprint=FINGERPRINT, cameras=2)
    assert loaded.network.config == made.config and not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert loaded.calibration == CALIBRATION and loaded.default_reuse == 0.5
    assert loaded.training == {'updates': 3}
    language = torch.arange(8.0)[None] if language_dim else None
    pairs = zip(made(inputs(), language), loaded.network(inputs(), language), strict=True)
    assert all(torch.allclose(*pair, atol=1e-4) for pair in pairs)
    again = write_gate(tmp_path / 'again', loaded.network)
    state = load_file(again / 'gate.safetensors')
    assert all(torch.equal(state[k], v) for k, v in made.state_dict().items())


def test_the_description_says_what_the_gate_was_made_for(folder):
    content = json.loads((folder / 'gate.json').read_text())
    assert content['format'] == 2 and content['model_fingerprint'] == FINGERPRINT
    assert (content['cameras'], content['tokens']) == (2, 512)
    assert content['calibration'] == {'0.2': -8.0, '0.5': 0.0, '0.9': 8.0}
    assert {path.name for path in folder.iterdir()} == {'gate.json', 'gate.safetensors'}


def edit(**changes):
    """Return a damage: change these keys of gate.json, or delete those that are None."""

    def damage(folder):
        path = folder / 'gate.json'
        content = json.loads(path.read_text())
        for key, value in changes.items():
            place, _, inner = key.partition('__')
            target = content[place] if inner else content
            target[inner or place] = value
            if value is None:
                del target[inner or place]
        path.write_text(json.dumps(content))

    return damage


def reweigh(change):
    """Return a damage: change the tensors of gate.safetensors."""

    def damage(folder):
        state = load_file(folder / 'gate.safetensors')
        change(state)
        save_file(state, folder / 'gate.safetensors')

    return damage


REFUSALS = {
    'no description': (lambda f: (f / 'gate.json').unlink(), 'expected the file'),
    'no weights': (lambda f: (f / 'gate.safetensors').unlink(), 'expected the file'),
    'broken JSON': (lambda f: (f / 'gate.json').write_text('{"form'), 'expected JSON'),
    'a list': (lambda f: (f / 'gate.json').write_text('[]'), 'expected an object, found list'),
    'no format': (edit(format=None), 'expected format 2, found None'),
    'other format': (edit(format=1), 'expected format 2, found 1'),
    'missing key': (edit(calibration=None), "missing ['calibration']"),
    'other cameras': (edit(cameras=1), 'number of cameras: expected 2, found 1'),
    'other tokens': (edit(tokens=392), 'number of tokens: expected 512, found 392'),
    'cameras within': (edit(config__cameras=1), 'config.cameras: expected 2, found 1'),
    'other model': (edit(model_fingerprint='def'), "fingerprint abc, found 'def'"),
    'config a number': (edit(config=3), 'config: expected an object, found int'),
    'unknown size': (edit(config__heads=3), "unexpected keyword argument 'heads'"),
    'width of text': (edit(config__width='16'), "width: expected 1 to 1024, found '16'"),
    'huge width': (edit(config__width=10**9), 'width: expected 1 to 1024, found 1000000000'),
    'falling ratios': (edit(config__ratios=[0.5, 0.2]), 'ratios: expected shares'),
    'ratio of text': (edit(config__ratios=['a']), "ratios: expected a number, found 'a'"),
    'no calibration': (edit(calibration={}), 'calibration: expected a finite bias'),
    'infinite bias': (edit(calibration={'0.5': float('inf')}), 'calibration: expected a finite'),
    'bias of text': (edit(calibration={'0.5': 'a'}), "bias: expected a number, found 'a'"),
    'reuse of text': (edit(calibration={'half': 1}), 'could not convert'),
    'reuse above one': (edit(calibration={'1.5': 1}), 'at least one reuse from 0 to 1'),
    'falling bias': (edit(calibration={'0.2': 1, '0.6': 0}), 'expected no bias to fall'),
    'default outside': (edit(default_reuse=0.95), 'default_reuse: expected 0.2 to 0.9'),
    'first share zero': (edit(first_share=0), 'first_share: expected more than 0, to 1, found 0'),
    'NaN default': (edit(default_reuse=float('nan')), 'default_reuse: expected 0.2 to 0.9'),
    'other width': (
        edit(config__width=24),
        'selector.weight expected [1, 24, 1, 1] found [1, 16, 1, 1]',
    ),
    'missing tensor': (reweigh(lambda s: s.pop('selector.bias')), 'missing: selector.bias'),
    'surplus tensor': (
        reweigh(lambda s: s.update(extra=torch.zeros(1))),
        'surplus: extra',
    ),
    'misshapen tensor': (
        reweigh(lambda s: s.update({'selector.bias': torch.zeros(2)})),
        'misshapen: selector.bias expected [1] found [2]',
    ),
    'NaN weight': (
        reweigh(lambda s: s['trunk.stem.weight'].view(-1)[5:6].fill_(torch.nan)),
        "found NaN or infinity in ['trunk.stem.weight']",
    ),
    'truncated weights': (
        lambda f: (f / 'gate.safetensors').write_bytes(
            (f / 'gate.safetensors').read_bytes()[:-100]
        ),
        'expected a complete safetensors file',
    ),
}


@pytest.mark.parametrize('case', REFUSALS)
def test_a_folder_that_does_not_fit_is_refused_in_one_line_that_names_the_fault(folder, case):
    damage, message = REFUSALS[case]
    damage(folder)
    with pytest.raises(CheckpointError) as error:
        gate_of('learned', folder)
    text = str(error.value)
    assert message in text and '\n' not in text and str(folder) in text


def test_no_folder_says_how_to_get_one(tmp_path):
    advice = 'checkpoint has no gate folder: train one with `vla-cache train gate`'
    for missing in (None, tmp_path / 'gate'):
        with pytest.raises(ValueError, match=advice):
            gate_of('learned', missing)


def test_nothing_out_of_range_is_saved(tmp_path):
    with pytest.raises(ValueError, match='default_reuse: expected 0.4 to 0.4'):
        save_gate(
            tmp_path / 'gate',
            network(),
            fingerprint='',
            calibration={0.4: 1},
            default_reuse=0.6,
            training={},
        )
    assert not (tmp_path / 'gate').exists()


@pytest.mark.parametrize('writes', [0, 1])
def test_an_interrupted_save_leaves_the_old_gate_or_none_never_a_mixture(
    folder, monkeypatch, writes
):
    replace_file, done = gate_folder.os.replace, []

    def interrupted(*paths):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(replace_file(*paths))

    monkeypatch.setattr(gate_folder.os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_gate(folder, network(1))
    with pytest.raises(CheckpointError, match=r'expected the file .*gate\.json'):
        gate_of('learned', folder)
    monkeypatch.undo()
    write_gate(folder, network(1))
    assert gate_of('learned', folder).fingerprint == saved(1).fingerprint != saved().fingerprint


def test_a_save_that_fails_while_writing_keeps_the_old_gate(folder):
    with pytest.raises(TypeError, match='serializable'):
        save_gate(
            folder,
            network(1),
            fingerprint=FINGERPRINT,
            calibration=CALIBRATION,
            default_reuse=0.5,
            training={'module': network},
        )
    assert gate_of('learned', folder).fingerprint == saved().fingerprint
