# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gate is trained through a flow model, is reported on, and drives the model after it."""

import numpy as np
import pytest
from tiny_flow import ACTION
from tiny_flow import CHUNK
from tiny_flow import flow_vla
from tiny_flow import FLOWS
from tiny_flow import write_flow_frames
import torch
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.policy import Policy
from vla_cache_ros.training import gate as gate_module
from vla_cache_ros.training import walks
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.batches import flow_start
from vla_cache_ros.training.batches import gate_pictures
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.gate_report import answers
from vla_cache_ros.training.gate_report import before_and_after
from vla_cache_ros.training.gate_report import DENSE
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.training.walks import Walks
from vla_cache_ros.types import Observation

SETTINGS = {'stage1': 2, 'stage2': 2, 'walks': 1, 'batch': 2, 'target': 0.5, 'flow_steps': 2}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(gate_module, 'SEGMENT', 2)
    monkeypatch.setattr(walks, 'STREAMS', 2)
    monkeypatch.setattr(walks, 'STEPS', 3)


def seen(recordings, frame):
    images = recordings.frames.images(np.array([frame]))[0]
    return Observation(tuple(images), recordings.instruction(frame), recordings.proprio(frame))


@pytest.mark.parametrize('family', FLOWS)
def test_a_gate_trains_is_reported_on_and_drives_the_model(family, tmp_path):
    vla = flow_vla(family, tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    trainer = GateTrainer(vla, recordings, tmp_path / 'run', GateTraining(**SETTINGS))
    before = [p.detach().clone() for p in trainer.network.parameters()]
    trainer.train()
    moved = [
        not torch.equal(p, b) for p, b in zip(trainer.network.parameters(), before, strict=True)
    ]
    assert all(moved)

    config = vla.config
    # after so few steps the predictor may keep any share, or none: the selector alone
    gate = make_gate(
        'learned-fixed',
        reuse=0.5,
        folder=tmp_path / 'run' / 'gate',
        fingerprint=family,
        cameras=config.cameras,
        tokens=config.tokens,
    )
    policy = Policy(vla, gate)
    for frame in recordings.held_out[0]:
        chunk, report = policy.act(seen(recordings, frame))
        assert chunk.actions.shape == (CHUNK, ACTION)
        assert report.active.shape == (config.cameras * config.tokens,)
    assert 0 < report.reuse < 1

    figures = before_and_after(vla, recordings, tmp_path / 'run' / 'gate', 4)
    assert figures['rows'][0]['gate'] == DENSE and figures['rows'][0]['mean'] == 0
    assert all(row['mean'] > 0 for row in figures['rows'] if row['reused'] > 0)


def test_gates_see_the_means_of_cells(tmp_path):
    vla = flow_vla('smolvla', tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    rows = np.array([0, 3])
    found = gate_pictures(recordings, rows, vla.config.picture_size)
    assert found.shape == (2, 2, 112, 112, 3)
    for row, pictures in zip(rows, found, strict=True):
        assert np.array_equal(pictures, vla.images.see(recordings.frames.images([row])[0]))


def test_prompts_hold_the_state_where_the_model_takes_it_so(tmp_path):
    vla = flow_vla('pi05', tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    _, ids, _, states = batch_inputs(vla, recordings, np.array([1, 2]))
    assert states is None
    normalized = vla.statistics().proprio.normalize(recordings.frames.table['proprio'][2])
    wanted = vla.prompt_ids('pick up red cube', normalized)
    assert ids[1, : len(wanted)].tolist() == wanted
    assert ids[0].tolist() != ids[1].tolist()
    # ... and a policy says the same
    policy = Policy(vla, DenseGate())
    assert policy._check(seen(recordings, 2))[0] == wanted


def test_the_teacher_knows_the_actions_of_a_policy_with_the_same_noise(tmp_path):
    vla = flow_vla('pi0', tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    steps = {'flow_steps': vla.config.flow.steps}
    settings = GateTraining(**{**SETTINGS, **steps, 'align': 'attention'})
    teacher = GateTrainer(vla, recordings, tmp_path / 'run', settings).teacher
    # of the first frame's, a policy draws the same noise at its first step
    policy = Policy(vla, DenseGate())
    chunk, _ = policy.act(seen(recordings, 0))
    assert np.abs(chunk.normalized - teacher.actions[0]).max() < 1e-5
    assert teacher.attention.shape == (12, 512)
    again = flow_start(vla, np.array([5, 5]), 1).noise
    assert torch.equal(again[0], again[1])


def test_walks_through_more_steps_are_other_walks(tmp_path):
    vla = flow_vla('pi05', tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    effects = []
    for steps in (1, 2):
        walked = Walks(vla, recordings, tmp_path / 'walks', 1, 0, 1, flow_steps=steps)
        walked.load(relative=False)
        effects.append(walked.effects)
    assert effects[0].shape == effects[1].shape
    assert not np.allclose(effects[0], effects[1])
    assert len(list((tmp_path / 'walks').iterdir())) == 2


def test_dense_and_cached_answers_begin_with_the_same_noise(tmp_path):
    vla = flow_vla('pi05', tmp_path)
    recordings = Recordings([write_flow_frames(vla, tmp_path / 'frames')])
    runs = recordings.held_out
    policy = Policy(vla, DenseGate())
    dense, _ = answers(policy, recordings, runs)
    policy.gate = make_gate('every', 0.0)  # recomputes all at each step, as another gate
    assert np.array_equal(answers(policy, recordings, runs)[0], dense)
    policy.gate = make_gate('random', 0.8)
    assert np.abs(answers(policy, recordings, runs)[0] - dense).mean() > 1e-3
