# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy finds the gate that belongs to its model."""

from gate_samples import NAMES
from gate_samples import network
from gate_samples import saved
from gate_samples import write_gate
import numpy as np
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
from scenery import view
from tiny_model import write_checkpoint
import torch
from vla_cache_ros import policy as policy_module
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import CheckpointError


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    made = write_checkpoint(tmp_path_factory.mktemp('model'))
    write_gate(made / 'gate', fingerprint=load_checkpoint(made).fingerprint)
    return made


def observe(step=0, instruction='pick up the red cube'):
    return Observation(tuple(view(2 * step, 0)), instruction, np.zeros(8, np.float32))


@pytest.mark.parametrize('name', NAMES)
def test_learned_gates_walk_the_corridor(checkpoint, name):
    policy = Policy.from_pretrained(checkpoint, gate=name, reuse=0.5)
    reports = [policy.act(observe(step))[1] for step in range(4)]
    assert [report.gate for report in reports] == [name] * 4
    assert [report.refresh for report in reports] == ['first_step', '', '', '']
    if name == 'learned-fixed':
        assert [report.reuse for report in reports[1:]] == [0.5] * 3
    else:
        assert policy.gate.bias == 0


def test_the_shipped_gate_belongs_to_the_shipped_model():
    policy = Policy.from_pretrained('tabletop', gate='learned', reuse=None)
    policy.act(observe())
    _, report = policy.act(observe(1))
    assert policy.gate.reuse == 0.77
    assert 0 < report.reuse < 0.91


def test_an_episode_is_the_same_whatever_came_before():
    policy = Policy.from_pretrained('tabletop', gate='learned', reuse=None)
    first = [policy.act(observe(step))[1].active for step in range(3)]
    policy.reset()
    # the same scene, a little off: next to black, everything differs the same
    shifted = [policy.act(observe(step + 3))[1].active for step in range(3)]
    assert any((a != b).any() for a, b in zip(first, shifted, strict=True))
    policy.reset()
    again = [policy.act(observe(step))[1].active for step in range(3)]
    assert [active.tolist() for active in again] == [active.tolist() for active in first]


def test_a_gate_may_come_from_another_folder(checkpoint, tmp_path):
    fingerprint = load_checkpoint(checkpoint).fingerprint
    other = write_gate(tmp_path / 'other', network(7), fingerprint)
    policy = Policy.from_pretrained(checkpoint, gate=f'learned@{other}')
    assert policy.gate.fingerprint == saved(7).fingerprint != saved().fingerprint


@pytest.mark.parametrize(
    'gate, reuse, message',
    [
        ('lerned', 0.5, 'gate: expected one of dense, random, motion, vla-cache, every, learned'),
        ('learned', 1.5, 'reuse: expected a share from 0 to 1, got 1.5'),
        ('motion@/tmp', 0.5, "'name@folder', got 'motion@/tmp'"),
        ('learned@', 0.5, "'name@folder', got 'learned@'"),
        ('learned@/none', 0.5, '/none: checkpoint has no gate folder: train one with'),
        ('learned', 0.5, 'gate: checkpoint has no gate folder: train one with'),
    ],
)
def test_what_is_wrong_with_a_gate_shows_before_the_model_is_loaded(
    tmp_path, monkeypatch, gate, reuse, message
):
    def load(*arguments, **keywords):
        raise AssertionError('loaded')

    monkeypatch.setattr(policy_module, 'load_checkpoint', load)
    with pytest.raises(ValueError, match='gate|reuse') as error:
        Policy.from_pretrained(tmp_path, gate=gate, reuse=reuse)
    assert message in str(error.value)


def test_a_gate_of_a_model_that_was_trained_further_is_refused(tmp_path):
    before = load_checkpoint(write_checkpoint(tmp_path)).fingerprint
    write_gate(tmp_path / 'gate', fingerprint=before)
    assert load_checkpoint(tmp_path).fingerprint == before
    Policy.from_pretrained(tmp_path, gate='learned')
    write_checkpoint(tmp_path, seed=1)
    after = load_checkpoint(tmp_path).fingerprint
    with pytest.raises(CheckpointError, match=f'fingerprint {after}, found .{before}'):
        Policy.from_pretrained(tmp_path, gate='learned')


@pytest.mark.parametrize('file', ['model.safetensors', 'heads.safetensors'])
def test_a_single_weight_changes_the_fingerprint(tmp_path, file):
    before = load_checkpoint(write_checkpoint(tmp_path)).fingerprint
    state = load_file(tmp_path / file)
    state[sorted(state)[0]].view(-1)[:1] += 1
    save_file(state, tmp_path / file, metadata={'format': 'pt'})
    assert load_checkpoint(tmp_path).fingerprint != before


def test_a_gate_that_sees_language_is_told_every_new_instruction(checkpoint):
    vla = load_checkpoint(checkpoint)
    told = []

    class Listener(LearnedGate):
        """A gate that notes what it is told."""

        def instruct(self, embedding):
            told.append(embedding)
            super().instruct(embedding)

    policy = Policy(vla, Listener(saved(language_dim=vla.config.hidden_dim)))
    for step, instruction in enumerate(['pick up the cube'] * 2 + ['put on green plate'] * 2):
        policy.act(observe(step, instruction))
    assert len(told) == 2 and not torch.equal(*told)
    ids = torch.tensor(vla.prompt_ids('pick up the cube'))
    assert torch.allclose(told[0], vla.model.embed_text(ids).mean(0), atol=1e-6)
    deaf = Policy(vla, LearnedGate(saved()))
    deaf.gate.instruct = lambda embedding: pytest.fail('a gate without language was instructed')
    deaf.act(observe())
