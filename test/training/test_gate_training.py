# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gate is trained on recordings, resumes to the same curve, and drives the model after it."""

from noise_recordings import write_noise
import numpy as np
import pytest
import torch
from vla_cache_ros.policy import Policy
from vla_cache_ros.training import gate as gate_module
from vla_cache_ros.training import walks
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.run import model_to_train_through
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.types import Observation

from recipes.tabletop.demonstrations import collect

SETTINGS = {'stage1': 2, 'stage2': 6, 'walks': 1, 'batch': 2, 'target': 0.5}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    from recipes.tabletop.demonstrations import disturbed_expert

    folder = tmp_path_factory.mktemp('shards')
    collect(folder, 24, 77, disturbed_expert(np.random.default_rng(0)), shard=24)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(gate_module, 'SEGMENT', 3)
    monkeypatch.setattr(gate_module, 'STAGE1_SEGMENT', 1)
    monkeypatch.setattr(walks, 'STREAMS', 2)
    monkeypatch.setattr(walks, 'STEPS', 3)


def trainer_of(data, out, training):
    return GateTrainer(model_to_train_through('tabletop'), Recordings([data]), out, training)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])


def test_an_interrupted_training_resumes_to_the_same_weights_and_its_gate_drives_the_model(
    data, tmp_path, monkeypatch
):
    whole = trainer_of(data, tmp_path / 'whole', GateTraining(**SETTINGS))
    start = weights(whole)
    whole.train()
    assert not torch.equal(start, weights(whole))

    cut = trainer_of(data, tmp_path / 'cut', GateTraining(**SETTINGS))
    save, saves = cut.loop.save, []

    def save_and_stop(**state):
        save(**state)
        saves.append(None)
        if len(saves) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cut.loop, 'save', save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    again = trainer_of(data, tmp_path / 'cut', GateTraining(**SETTINGS))
    assert again.loop.done == 5
    again.train()
    assert torch.equal(weights(whole), weights(again))
    curves = [(tmp_path / n / 'gate.csv').read_text().splitlines() for n in ('whole', 'cut')]
    assert [c.rsplit(',', 1)[0] for c in curves[0]] == [c.rsplit(',', 1)[0] for c in curves[1]]

    gate = f'learned-fixed@{tmp_path / "whole" / "gate"}'
    policy = Policy.from_pretrained('tabletop', gate=gate, reuse=0.75)
    policy.reset()
    recordings = Recordings([data])
    for frame in recordings.training[0][:3]:
        images = recordings.frames.images(np.array([frame]))[0]
        proprio = recordings.frames.table['proprio'][frame]
        instruction = recordings.instruction(frame)
        chunk, report = policy.act(Observation(tuple(images), instruction, proprio))
        assert np.isfinite(chunk.actions).all()
    assert report.reuse == 0.75


def test_other_settings_than_those_of_the_run_are_refused(data, tmp_path):
    trainer_of(data, tmp_path / 'a', GateTraining(stage1=1, stage2=0, walks=1)).train()
    with pytest.raises(ValueError, match='seed: expected 1 as asked for, found 0'):
        training = GateTraining(stage1=1, stage2=0, walks=1, seed=1)
        trainer_of(data, tmp_path / 'a', training)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_state(data, tmp_path):
    training = GateTraining(stage1=3, stage2=0, walks=1, batch=1)
    trainer = trainer_of(data, tmp_path / 'a', training)
    trainer._segment(1, 2)
    with torch.no_grad():
        trainer.network.selector.bias.fill_(np.nan)
    with pytest.raises(FloatingPointError, match='update 2: expected a finite loss'):
        trainer._segment(1, 1)
    again = trainer_of(data, tmp_path / 'a', training)
    assert again.loop.done == 2
    assert torch.isfinite(weights(again)).all()


def test_the_units_of_the_predictor_stay_alive_where_few_samples_hold_most_of_the_effects(
    data, tmp_path
):
    training = GateTraining(stage1=150, stage2=0, walks=1, batch=4)
    trainer = trainer_of(data, tmp_path / 'a', training)
    found, rng = trainer.walks, np.random.default_rng(0)
    found.effects *= rng.lognormal(0, 3, (len(found.effects), 1)).astype(np.float32)
    found.effects /= found.effects.mean()
    trainer._segment(1, 150)
    planes = np.stack([found.planes(sample) for sample in range(len(found.frames))])
    heard = []
    trainer.network.predictor[1].register_forward_hook(lambda *seen: heard.append(seen[-1]))
    trainer.network(torch.from_numpy(planes).float(), trainer._language(found.frames))
    alive = (heard[0] > 0).any(0)
    assert alive.sum() > len(alive) // 2


def test_stage_one_can_follow_attention_as_in_the_paper(data, tmp_path):
    training = GateTraining(stage1=2, stage2=0, align='attention', batch=2)
    trainer = trainer_of(data, tmp_path / 'a', training)
    start = weights(trainer)
    trainer._segment(1, 2)
    assert trainer.walks is None
    assert not torch.equal(start, weights(trainer))


def test_without_a_price_the_task_teaches_selector_and_predictor(data, tmp_path):
    settings = {'stage1': 0, 'stage2': 6, 'batch': 2, 'target': None, 'price': 0.0}
    training = GateTraining(predictor='relaxed', **settings)
    trainer = trainer_of(data, tmp_path / 'a', training)
    step = trainer.task.begin(3, np.random.default_rng(0))
    step()
    loss, _ = step()
    loss.backward()
    for part in (trainer.network.selector, trainer.network.predictor, trainer.network.trunk):
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in gradients)
        assert max(g.abs().max() for g in gradients) > 0


def test_recordings_of_one_frame_are_left_out(data):
    recordings = Recordings([data])
    assert all(len(run) > 1 for run in (*recordings.training, *recordings.held_out))
    stream = list(recordings.stream(30, np.random.default_rng(0)))
    assert len(stream) == 30 and stream[0][1]
    episode = recordings.frames.table['episode']
    for (before, _), (now, begins) in zip(stream[:-1], stream[1:], strict=True):
        assert begins or (now == before + 1 and episode[now] == episode[before])


def test_what_is_held_out_is_of_every_folder(tmp_path):
    folders = [write_noise(tmp_path / name, 40, 2) for name in ('first', 'last')]
    recordings = Recordings(folders)
    assert len(recordings.held_out) == 8
    assert 0 < sum(run[0] < 80 for run in recordings.held_out) < 8
    again = Recordings(folders)
    assert [run[0] for run in again.held_out] == [run[0] for run in recordings.held_out]


def test_a_mistyped_loss_is_refused():
    with pytest.raises(ValueError, match='loss: expected one of distill, demonstrations'):
        GateTraining(loss='distil')


def test_a_mistyped_alignment_is_refused():
    with pytest.raises(ValueError, match='align: expected one of effects, attention'):
        GateTraining(align='attn')


def test_a_first_step_without_any_token_is_refused_before_training():
    with pytest.raises(ValueError, match='first_share: expected more than 0, to 1, got 0'):
        GateTraining(first_share=0)
