# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gate is trained on bags alone, reported on beside what was before, and loaded by one name."""

from dataclasses import replace
import json

from bag_samples import MS
from bag_samples import recording
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
import numpy as np
import pytest
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from tiny_model import tiny_tokenizer
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.cli.main import main
from vla_cache_ros.policy import Policy
from vla_cache_ros.training import gate_report
from vla_cache_ros.training import walks
from vla_cache_ros.training.bag_recordings import BagSource
from vla_cache_ros.training.run import as_recorded
from vla_cache_ros.training.run import model_to_train_through
from vla_cache_ros.training.run import train_on_bags
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import OftConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.model import init_model

TRAINING = GateTraining(stage1=2, walks=1, batch=2)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    messages = recording(6.0, instruction='pick up red cube')
    for second, text in ((2, 'put red cube on green plate'), (4, 'pick up green cube')):
        messages.append((START + (1000 * second - 1) * MS, '/instruction', string(text)))
    messages.sort(key=lambda message: message[0])
    bag = write_bag(tmp_path_factory.mktemp('bags') / 'three', messages)
    return BagSource([bag], BagTopics(), Cadence(0.4), 1)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(walks, 'STREAMS', 2)
    monkeypatch.setattr(walks, 'STEPS', 4)
    monkeypatch.setattr(gate_report, 'REUSES', ())


def test_a_gate_comes_of_bags_alone_with_a_report_and_drives_the_model(source, tmp_path, capsys):
    checkpoint = str(write_checkpoint(tmp_path / 'model'))
    out = tmp_path / 'run'
    train_on_bags(checkpoint, source, out, TRAINING, images={'center_crop': 0.9})
    said = capsys.readouterr().out
    assert f'gate: learned@{out / "gate"}' in said

    figures = json.loads((out / 'report.json').read_text())
    assert [row['gate'] for row in figures['rows']] == ['dense', 'motion rule', 'after']
    assert figures['images'] == 'squash to 224 (bicubic), centre crop 0.9'
    dense, rule, after = figures['rows']
    assert dense['mean'] == dense['displacement']['mean'] == 0
    assert rule['mean'] > 0 and rule['displacement']['mean'] > 0
    assert rule['reused'] == pytest.approx(0.77, abs=0.01)
    assert after['steps'] == rule['steps'] == figures['episodes'][0]['steps'] > 0
    assert (figures['training_episodes'], figures['held_out_episodes']) == (2, 1)
    assert figures['episodes'][0]['instruction'] == 'pick up green cube'
    assert figures['curve'][-1]['update'] == 2
    page = (out / 'report.html').read_text()
    assert f'learned@{out / "gate"}' in page and '<svg' in page and 'src="http' not in page

    policy = Policy.from_pretrained(checkpoint, gate=f'learned@{out / "gate"}', reuse=0.5)
    policy.reset()
    images = tuple(np.random.default_rng(0).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8))
    for _ in range(2):
        _, report = policy.act(Observation(images, 'pick up red cube', np.zeros(8)))
    assert report.gate == 'learned'


def test_what_was_recorded_through_the_image_path_does_not_go_through_it_again():
    vla = model_to_train_through('libero-object')
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    (once,) = vla.images.see([picture])
    assert (as_recorded(vla).images.see([once])[0] == once).all()
    assert (vla.images.see([once])[0] != once).any()


def test_a_gate_that_ships_with_the_model_is_what_was_before(source, tmp_path):
    folder = write_checkpoint(tmp_path / 'model')
    train_on_bags(str(folder), source, tmp_path / 'first', TRAINING)
    (tmp_path / 'first' / 'gate').rename(folder / 'gate')
    train_on_bags(str(folder), source, tmp_path / 'second', replace(TRAINING, seed=1))
    figures = json.loads((tmp_path / 'second' / 'report.json').read_text())
    assert [r['gate'] for r in figures['rows']] == ['dense', 'motion rule', 'before', 'after']
    assert list(figures['episodes'][0]['distance']) == ['motion rule', 'before', 'after']
    assert 'gate before it' in (tmp_path / 'second' / 'report.html').read_text()


def test_a_training_can_begin_with_a_gate(source, tmp_path):
    folder = write_checkpoint(tmp_path / 'model')
    train_on_bags(str(folder), source, tmp_path / 'first', TRAINING)
    gate = tmp_path / 'first' / 'gate'
    again = replace(TRAINING, stage1=1, peak=0.0, start=str(gate))
    train_on_bags(str(folder), source, tmp_path / 'second', again)
    fingerprint = model_to_train_through(str(folder)).fingerprint
    states = [
        load_gate_folder(g, fingerprint=fingerprint, cameras=2).network.state_dict()
        for g in (gate, tmp_path / 'second' / 'gate')
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_gate_without_language_is_calibrated_for_another_model(source, tmp_path):
    first, second = (write_checkpoint(tmp_path / f'model{i}', seed=i) for i in range(2))
    blind = replace(TRAINING, language=False)
    train_on_bags(str(first), source, tmp_path / 'first', blind)
    gate = tmp_path / 'first' / 'gate'
    as_it_is = replace(blind, stage1=0, start=str(gate))
    train_on_bags(str(second), source, tmp_path / 'second', as_it_is)
    there = model_to_train_through(str(second)).fingerprint
    moved = load_gate_folder(tmp_path / 'second' / 'gate', fingerprint=there, cameras=2)
    before = load_gate_folder(gate, fingerprint=None, cameras=2)
    assert moved.fingerprint == before.fingerprint
    with pytest.raises(CheckpointError, match='made for another model'):
        load_gate_folder(gate, fingerprint=there, cameras=2)
    with pytest.raises(CheckpointError, match='made for another model'):
        train_on_bags(str(second), source, tmp_path / 'third', replace(TRAINING, start=str(gate)))


def test_one_camera_and_no_robot_state_do(source, tmp_path):
    oft = OftConfig(num_images=1, use_proprio=False)
    model = init_model(tiny_config(cameras=1).with_oft(oft), 0)
    save_checkpoint(tmp_path / 'model', model, tiny_statistics(), tiny_tokenizer())
    train_on_bags(str(tmp_path / 'model'), source, tmp_path / 'run', TRAINING)
    figures = json.loads((tmp_path / 'run' / 'report.json').read_text())
    assert figures['bags'][0]['topics']['images'] == ['/image_raw']
    assert figures['rows'][-1]['gate'] == 'after'


def test_a_flow_model_learns_from_bags(source, tmp_path):
    train_on_bags('tabletop-pi', source, tmp_path, replace(TRAINING, flow_steps=2))
    figures = json.loads((tmp_path / 'report.json').read_text())
    assert figures['images'] == 'letterbox to 224 (bilinear, bars on both sides)'
    dense, rule, _, after = figures['rows'][:4]
    assert dense['mean'] == 0 and rule['mean'] > 0 and after['gate'] == 'after'
    gate = f'learned-fixed@{tmp_path / "gate"}'
    policy = Policy.from_pretrained('tabletop-pi', gate=gate, reuse=0.5)
    images = tuple(np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), dtype=np.uint8))
    for _ in range(2):
        _, report = policy.act(Observation(images, 'pick up red cube', np.zeros(8)))
    assert report.gate == 'learned-fixed' and 0 < report.reuse < 1


def test_a_model_with_action_tokens_learns_from_its_own_tokens(source, tmp_path):
    checkpoint = str(write_checkpoint(tmp_path / 'model', causal=True))
    train_on_bags(checkpoint, source, tmp_path / 'run', TRAINING)
    figures = json.loads((tmp_path / 'run' / 'report.json').read_text())
    assert figures['rows'][-1]['gate'] == 'after'
    assert figures['bags'][0]['topics']['joints'] == ''
    policy = Policy.from_pretrained(checkpoint, gate=f'learned@{tmp_path / "run" / "gate"}')
    image = np.zeros((48, 48, 3), np.uint8)
    _, report = policy.act(Observation((image,), 'pick up red cube'))
    assert report.active.size == 256


def test_stage_two_needs_continuous_actions(source, tmp_path):
    checkpoint = str(write_checkpoint(tmp_path / 'model', causal=True))
    with pytest.raises(ValueError, match='stage2 and align: expected 0 and effects'):
        train_on_bags(checkpoint, source, tmp_path / 'run', replace(TRAINING, stage2=1))


def test_other_bags_than_those_of_the_run_are_refused(source, tmp_path):
    folder = str(write_checkpoint(tmp_path / 'model'))
    train_on_bags(folder, source, tmp_path / 'run', TRAINING)
    with pytest.raises(ValueError, match='differs in offsets: choose another --out'):
        train_on_bags(folder, replace(source, offsets=2), tmp_path / 'run', TRAINING)


def test_bags_have_no_labels(source, tmp_path):
    folder = str(write_checkpoint(tmp_path / 'model'))
    with pytest.raises(ValueError, match='loss: expected distill, since .* no labels'):
        train_on_bags(folder, source, tmp_path / 'run', replace(TRAINING, loss='demonstrations'))


@pytest.mark.parametrize(
    ('options', 'got'),
    [
        ([], 'none'),
        (['--data', 'a', '--bag', 'b'], '--data and --bag'),
        (['--dataset', 'a', '--bag', 'b'], '--bag and --dataset'),
    ],
)
def test_a_training_takes_demonstrations_or_bags(options, got, capsys):
    assert main(['train', 'gate', '--out', 'run', *options]) == 2
    said = capsys.readouterr().err
    assert f'expected one of --data, --bag and --dataset, got {got}\n' in said


def test_options_of_bags_are_refused_with_demonstrations(capsys):
    assert main(['train', 'gate', '--out', 'run', '--data', 'a', '--held-out', '3']) == 2
    assert '--held-out needs --bag or --dataset: see' in capsys.readouterr().err
