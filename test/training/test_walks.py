# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Walks note stale caches and effects, once, and rebuild what the gate would have seen."""

import numpy as np
import pytest
import torch
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.training import walks as module
from vla_cache_ros.training.alignment import effect_loss
from vla_cache_ros.training.alignment import left_out
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.walks import Walks
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve

from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards')
    collect(folder, 24, 77, disturbed_expert(np.random.default_rng(0)), shard=24)
    return Recordings([folder])


@pytest.fixture(scope='module')
def vla():
    loaded = load_checkpoint(resolve('tabletop'))
    loaded.model.requires_grad_(False)
    return loaded


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(module, 'STREAMS', 2)
    monkeypatch.setattr(module, 'STEPS', 4)


def test_processes_share_the_pieces_and_nothing_is_made_twice(
    vla, recordings, tmp_path, monkeypatch
):
    walks = Walks(vla, recordings, tmp_path, pieces=2, rank=1, world=2)
    assert [f.name for f in tmp_path.glob('walks-*/*')] == ['0001.npz']
    walks = Walks(vla, recordings, tmp_path, pieces=2, rank=0, world=2)
    monkeypatch.setattr(module, 'walk', None)
    again = Walks(vla, recordings, tmp_path, pieces=2, rank=0, world=1)
    walks.load(relative=False)
    again.load(relative=False)
    assert np.array_equal(walks.effects, again.effects)
    assert walks.effects.mean() == pytest.approx(1, rel=1e-4)
    training = np.concatenate(recordings.training)
    assert np.isin(walks.frames, training).all()
    assert walks.ages.min() == 1  # something was recomputed a step before
    assert np.isin(walks.frames[:, None] - walks.ages, training).all()
    episode = recordings.frames.table['episode']
    assert (episode[walks.frames[:, None] - walks.ages] == episode[walks.frames][:, None]).all()


def test_walks_on_labels_and_without_are_kept_apart(vla, recordings, tmp_path):
    plain = Walks(vla, recordings, tmp_path, pieces=1, rank=0, world=1)
    labelled = Walks(vla, recordings, tmp_path, pieces=1, rank=0, world=1, labelled=True)
    plain.load(relative=False)
    labelled.load(relative=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert plain.frames[0] == labelled.frames[0]  # the same streams
    assert not np.allclose(plain.effects[0], labelled.effects[0])


def test_relative_effects_count_by_how_precise_the_motion_has_to_be(vla, recordings, tmp_path):
    absolute = Walks(vla, recordings, tmp_path, pieces=1, rank=0, world=1)
    absolute.load(relative=False)
    weighed = Walks(vla, recordings, tmp_path, pieces=1, rank=0, world=1)
    weighed.load(relative=True)
    factor = weighed.effects.sum(1) / absolute.effects.sum(1)
    assert factor / factor[0] == pytest.approx((weighed.precision / weighed.precision[0]) ** 2)


def test_planes_are_those_of_the_gate_in_that_place(vla, recordings, tmp_path):
    walks = Walks(vla, recordings, tmp_path, pieces=1, rank=0, world=1)
    walks.load(relative=False)
    sample = int(walks.ages.max(1).argmax())
    frame, ages = walks.frames[sample], walks.ages[sample].astype(int)

    def images(index):
        return recordings.frames.images(np.array([index]))[0]

    motion = MotionInput()
    motion.remember(images(frame - 1))
    reference = np.stack([patchify(images(frame - age))[i] for i, age in enumerate(ages)])
    wanted = motion(images(frame), reference, ages)
    assert np.abs(walks.planes(sample) - wanted).max() < 1e-3
    assert ages.max() > 1


def test_scores_learn_the_log_of_the_mean_effect_whatever_a_sample_weighs():
    effects = torch.tensor([[2.0, 6.0], [900.0, 300.0], [1.0, 3.0], [0.0, 0.0]])
    scores = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([scores], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        effect_loss(scores.expand(4, 2), effects).backward()
        optimizer.step()
    assert torch.allclose(scores, torch.tensor([0.625, 0.875]).log(), atol=0.02)


def test_each_budget_leaves_out_what_it_does_not_recompute():
    effects = torch.tensor([[9.0, 1.0, 4.0, 16.0]])
    scores = torch.tensor([[3.0, 0.0, 1.0, 2.0]])
    found = left_out(scores, effects, [0, 1, 2, 4])
    assert torch.allclose(found, torch.tensor([[30.0, 21.0, 5.0, 0.0]]).sqrt())
