# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training data and sequences mean what inference means by them."""

import numpy as np
import pytest
import torch
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.tasks import TASKS
from vla_cache_ros.training.batches import pad_prompts
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.prompt import encode_prompt

from recipes.domains import TABLETOP
from recipes.grounding import grounding_targets
from recipes.patch_shares import patch_shares
from recipes.patch_targets import batch_targets
from recipes.patch_targets import frame_targets
from recipes.sequence import action_rows
from recipes.sequence import choose_tokens
from recipes.sequence import decode_subset
from recipes.sizes import build_tokenizer
from recipes.sizes import tabletop_config
from recipes.sizes import VOCABULARY
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert
from recipes.tabletop.demonstrations import expert_chunk
from recipes.tabletop.demonstrations import geom_classes

CLASSES = TABLETOP.classes


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """Collect two small shards."""
    directory = tmp_path_factory.mktemp('demos')
    collect(directory, 12, 900, disturbed_expert(np.random.default_rng(0)), shard=6)
    return directory


def test_shares_of_a_patch_add_up_to_its_pixels(shards):
    frames = Frames([shards])
    assert len(frames) == 12
    assert (frames.table['shares'].astype(int).sum(-1) == 196).all()
    assert frames.images(np.array([0, 11])).shape == (2, 2, 224, 224, 3)


def test_each_process_reads_its_own_part_of_the_shards(shards):
    parts = [Frames([shards], part, 2) for part in range(2)]
    assert [len(p) for p in parts] == [6, 6]
    assert not np.array_equal(parts[0].images([0]), parts[1].images([0]))


def test_missing_shards_are_named_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match='python -m recipes demos'):
        Frames([tmp_path])


def test_labels_are_the_experts_actions_and_leave_the_episode_alone():
    env = Tabletop()
    env.reset_state(31)
    before = env.data.qpos.copy()
    chunk = expert_chunk(env)
    assert chunk.shape == (8, 7) and np.linalg.norm(chunk[0, :3]) <= 0.0301
    assert np.array_equal(env.data.qpos, before) and env.time == 0.0


def test_patch_targets_point_at_the_named_object():
    env = Tabletop()
    env.reset_state(5)
    classes = geom_classes(env)
    shares = patch_shares(env.render('front', True), classes, len(CLASSES))
    name = f'cube_{env.task.cube}'
    assert shares[:, CLASSES.index(name)].sum() > 60
    env.close()


def test_frame_targets_tell_one_of_a_kind_from_the_other():
    shares = np.zeros((1, 256, 5), np.uint8)  # background, arm, two bowls, a plate
    shares[..., 0] = 196
    shares[0, 7] = [96, 0, 100, 0, 0]
    shares[0, 8] = [0, 90, 0, 106, 0]
    shares[0, 9] = [190, 0, 0, 0, 6]  # too little to say where
    positions = np.arange(9.0).reshape(3, 3)
    points = np.array([[0.1, 0.2, 0.3], [np.nan] * 3])
    found = frame_targets(shares, positions, (1, -1), points)
    assert found['named'].shape == (1, 256, 2) and found['named'].sum() == 106
    assert found['named'][0, 8, 0] == 106
    assert found['nearby'][0, 7].tolist() == [0, 1, 2]
    assert found['nearby'][0, 8].tolist() == [3, 4, 5]
    assert np.isfinite(found['nearby']).all(-1).sum() == 2
    np.testing.assert_array_equal(found['places'], points.astype(np.float32))


def test_position_targets_are_relative_to_the_gripper_in_the_wrist_camera(shards):
    table = Frames([shards]).table
    rows = np.arange(3)
    shares, targets, counts = batch_targets(table, rows, TABLETOP)
    places = grounding_targets(table, rows).places
    for row in rows:
        task = TASKS[list(TASKS)[table['task'][row]]]
        cube = CLASSES.index(f'cube_{task.cube}') - 1
        seen = counts[row, 1] & (shares[row, 1, :, 1:].argmax(-1) == cube)
        if seen.any():
            assert torch.allclose(targets[row, 1][seen], places[row, :3], atol=1e-6)


def test_objects_are_kept_first_when_tokens_are_dropped():
    shares = torch.zeros(1, 64, 10)
    shares[0, :, 0] = 196
    shares[0, [3, 40], 2] = 50
    kept = choose_tokens(shares, 8, torch.Generator().manual_seed(0), TABLETOP)
    assert {3, 40} <= set(kept[0].tolist())
    assert (kept.diff(dim=1) > 0).all()


def test_training_on_all_tokens_is_the_models_own_forward():
    model = init_model(tabletop_config()).eval()
    visual, proprio = torch.randn(2, 512, 192), torch.randn(2, 8)
    ids, mask = pad_prompts([[1, 5, 6, 259], [1, 5, 6, 7, 8, 259]])
    tokens = torch.arange(512).expand(2, -1)
    with torch.no_grad():
        expected = model.chunk_hidden(visual, ids, mask, proprio)
        hidden = decode_subset(model, visual, tokens, 512, ids, mask, proprio)
    assert torch.allclose(action_rows(hidden, mask, 56), expected, atol=1e-5)


def test_the_tokenizer_covers_any_text_below_the_action_tokens():
    tokenizer = build_tokenizer()
    for text in [task.instruction for task in TASKS.values()] + ['ünï 🦾 bag']:
        ids = encode_prompt(tokenizer, text)
        assert ids[0] == 1 and max(ids) < VOCABULARY - 64 - 256
        assert tokenizer.unk_token_id not in ids
