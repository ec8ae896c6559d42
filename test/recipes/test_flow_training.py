# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small pi0.5 trains by flow matching, is told its state, and is saved as LeRobot does."""

import json

import numpy as np
import pytest
from safetensors.torch import load_file
import torch
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.lerobot.weights import module_tensors
from vla_cache_ros.vla.model import VLAModel

from recipes.domains import TABLETOP
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert
from recipes.tabletop_pi.flow_base import FlowTrainer
from recipes.tabletop_pi.flow_base import sample_chunks
from recipes.tabletop_pi.prompts import build_tokenizer
from recipes.tabletop_pi.prompts import prompt_ids
from recipes.tabletop_pi.prompts import PROMPTING
from recipes.tabletop_pi.sizes import as_siglip
from recipes.tabletop_pi.sizes import IMAGES
from recipes.tabletop_pi.sizes import LAYERS
from recipes.tabletop_pi.sizes import pi_config
from recipes.tabletop_pi.sizes import pi_model

STATE = np.array([-1.5, -1.0, -0.004, 0.0, 0.5, 0.99, 0.9922, 1.5])


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """Collect one small shard."""
    directory = tmp_path_factory.mktemp('demos')
    collect(directory, 8, 900, disturbed_expert(np.random.default_rng(0)), shard=8)
    return directory


def test_the_state_is_told_in_numbers_of_256_steps():
    assert PROMPTING.text('pick up the red_cube\n', STATE) == (
        'Task: pick up the red cube, State: -1 0 127 128 192 254 255 255;\nAction: '
    )


def test_every_word_and_every_number_is_one_known_token():
    tokenizer = build_tokenizer(TABLETOP.instructions)
    texts = [PROMPTING.text(text, STATE) for text in TABLETOP.instructions]
    for text, ids in zip(texts, tokenizer(texts)['input_ids'], strict=True):
        words = tokenizer.convert_ids_to_tokens(ids)
        assert words[0] == '<bos>' and '<unk>' not in words
        assert ''.join(words[1:]) == text.replace(' ', '')
        assert words[-12:-4] == '-1 0 127 128 192 254 255 255'.split()
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id] == [0, 1, 2]
    numbers = [tokenizer.convert_tokens_to_ids(str(n)) for n in range(-1, 256)]
    assert numbers == list(range(255, 512)) and pi_config().decoder().vocab_size == 512


def test_nearby_numbers_embed_alike():
    embeddings = pi_model(0).language_model.model.embed_tokens.weight[255:]
    distances = torch.cdist(embeddings[128:129], embeddings)[0]
    assert distances[129] < 0.3 * distances[160] and distances[127] < 0.3 * distances[0]


def test_the_tower_begins_as_what_it_is_made_from():
    sight = load_checkpoint('tabletop', need_tokenizer=False)
    old, model = sight.model.vision_backbone.featurizer, pi_model(0)
    new = model.vision_backbone.featurizer
    state = as_siglip(old, sight.images, new)
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    with torch.inference_mode():
        want = old.patch_embed(sight.images.normalize(picture[None]))
        new.load_state_dict(state)
        assert torch.allclose(new.patch_embed(IMAGES.normalize(picture[None])), want, atol=1e-4)
        x = torch.randn(1, 9, 128)
        # GELU is another one
        assert torch.allclose(new.blocks[0](x), old.blocks[0](x), atol=0.02)


def test_training_lowers_the_loss_resumes_and_keeps_the_tower(shards, tmp_path):
    trainer = FlowTrainer([shards], tmp_path)
    rows = np.arange(8)

    def loss(trainer):
        trainer.generator.manual_seed(5)
        with torch.no_grad():
            return [value.item() for value in trainer.losses(rows, 80)]

    before, tower = loss(trainer), 'vision_backbone.featurizer.pos_embed'
    kept = trainer.model.state_dict()[tower].clone()
    trainer.train(until=12, batch=8, keep=80, peak=2e-3)
    after = loss(trainer)
    assert after[0] < 0.8 * before[0] and sum(after) < 0.7 * sum(before)
    assert torch.equal(trainer.model.state_dict()[tower], kept)
    again = FlowTrainer([shards], tmp_path)
    assert again.loop.done == 12 and loss(again)[0] == pytest.approx(after[0], rel=0.05)


def test_the_held_out_error_is_that_of_whole_chunks(shards, tmp_path):
    trainer = FlowTrainer([shards], tmp_path, held=[shards])
    trainer.measure()
    header, line = (tmp_path / 'held.csv').read_text().splitlines()
    figures = line.split(',')
    assert len(header.split(',')) == len(figures)
    assert len(figures) == 3 + 7 and all(0 < float(f) < 5 for f in figures[1:])
    perfect = trainer.normalized('action', trainer.frames.table['actions'][:8])
    assert perfect[..., 6].tolist() == np.sign(perfect[..., 6]).tolist()


def test_a_folder_reads_back_as_the_model_it_was_written_from(shards, tmp_path):
    trainer = FlowTrainer([shards], tmp_path)
    trainer.save()
    folder = tmp_path / 'model'
    found = dict(
        module_tensors(load_file(folder / 'model.safetensors').items(), 'pi05', LAYERS, 'pi')
    )
    model = VLAModel(pi_config())
    model.load_state_dict(found)
    for name, tensor in trainer.averaged.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor.bfloat16().float()), name
    config = json.loads((folder / 'config.json').read_text())
    assert config['type'] == 'pi05' and config['n_action_steps'] == 4
    cameras = [name for name in config['input_features'] if 'images' in name]
    assert cameras == ['observation.images.front', 'observation.images.wrist']
    step = json.loads((folder / 'policy_preprocessor.json').read_text())['steps'][3]
    statistics = load_file(folder / step['state_file'])
    wanted = trainer.scaling['proprio'].second
    assert np.allclose(statistics['observation.state.q99'], wanted, rtol=1e-6)


def test_chunks_are_sampled_from_a_part_of_the_visual_tokens_too(shards, tmp_path):
    trainer = FlowTrainer([shards], tmp_path)
    ids, mask = prompt_ids(trainer.tokenizer, ['pick up the red cube'] * 2, np.zeros((2, 8)))
    visual = torch.randn(2, 512, 192)
    part = torch.tensor([[3, 90, 400], [0, 1, 2]])
    with torch.inference_mode():
        few = trainer.model.prefix(
            visual.gather(1, part[..., None].expand(-1, -1, 192)), ids, mask, positions=part
        )
        whole = trainer.model.prefix(visual, ids, mask)
        # of the first layer keys depend on the token and on its place alone
        assert torch.allclose(few.keys[0][0, :, 2], whole.keys[0][0, :, 400], atol=1e-5)
        assert torch.equal(few.cos, whole.cos)
        assert sample_chunks(trainer.model, few, trainer.generator).shape == (2, 8, 7)
