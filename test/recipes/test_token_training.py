# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A causal model of action tokens trains on the sequences it is run on, and can grow deeper."""

from engine_steps import frames
from engine_steps import LONG
from engine_steps import run
import numpy as np
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

from recipes.sequence import decode_causal
from recipes.sizes import openvla_config
from recipes.tabletop.demonstrations import collect
from recipes.tabletop.demonstrations import disturbed_expert
from recipes.tabletop.demonstrations import model_actor
from recipes.tabletop_openvla.deepen import deepen
from recipes.tabletop_openvla.token_base import smooth_loss
from recipes.tabletop_openvla.token_base import TokenTrainer

SHORT = LONG[:12]


@pytest.fixture(scope='module')
def shards(tmp_path_factory):
    """Collect one small shard."""
    directory = tmp_path_factory.mktemp('demos')
    collect(directory, 8, 900, disturbed_expert(np.random.default_rng(0)), shard=8)
    return directory


def test_training_on_all_tokens_is_what_the_engine_decodes(causal):
    images = frames(causal, 1)[0]
    preprocessor = ImagePreprocessor.for_towers(causal.config.towers)
    done = [run(SlotEngine(causal), images, ids=ids).tokens for ids in (LONG, SHORT)]
    with torch.inference_mode():
        features = causal.vision_features(pixel_batch(images[None], preprocessor))
        visual = causal.project(features).expand(2, -1, -1)
        tokens = torch.arange(256).expand(2, -1)
        fed = torch.from_numpy(np.stack(done))
        hidden = decode_causal(causal, visual, tokens, 256, [list(LONG), list(SHORT)], fed)
    assert (done[0] != done[1]).any()  # or the prompts would not have mattered
    assert causal.logits(hidden).argmax(-1).tolist() == fed.tolist()


def test_a_kept_token_keeps_its_position(causal):
    visual, fed = torch.randn(1, 256, causal.config.hidden_dim), torch.tensor([[3, 4, 5]])
    kept = torch.tensor([[7, 90, 200]])
    seen = []
    hook = causal.language_model.model.rotary_emb.register_forward_hook(
        lambda module, inputs, kwargs, output: seen.append(kwargs['position_ids']),
        with_kwargs=True,
    )
    with torch.inference_mode():
        decode_causal(causal, visual[:, kept[0]], kept, 256, [[1, 5, 9]], fed)
    hook.remove()
    assert seen[0].tolist() == [[0, 8, 91, 201, 257, 258, 259, 260]]


def test_a_deeper_decoder_computes_the_same_and_can_learn():
    shallow = init_model(openvla_config(2)).eval()
    deep = init_model(openvla_config(6), seed=1).eval()
    deep.load_state_dict(deepen(shallow.state_dict(), 6))
    embeds, positions = torch.randn(1, 9, 64), torch.arange(9)[None]
    assert torch.allclose(deep.decode(embeds, positions), shallow.decode(embeds, positions))
    deep.decode(embeds, positions).square().mean().backward()
    added = deep.language_model.model.layers[1]
    assert added.self_attn.o_proj.weight.grad.abs().sum() > 0
    assert added.mlp.down_proj.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match='multiple of the 2'):
        deepen(shallow.state_dict(), 5)


def test_the_smoothed_loss_is_least_at_the_wanted_bin():
    tokens = ActionTokens(960)
    losses = []
    for shift in (0, 5, 20):
        logits = torch.full((1, 1024), -60.0)
        logits[0, 704:960] = -0.5 * ((torch.arange(704, 960) - 800 - shift) / 3.0) ** 2
        losses.append(smooth_loss(logits, torch.tensor([800]), tokens).item())
    assert losses[0] == pytest.approx(0.0, abs=1e-2) and losses[0] < losses[1] < losses[2]
    outside = torch.zeros(1, 1024)
    outside[0, 5] = 50.0  # a word, not an action
    assert smooth_loss(outside, torch.tensor([800]), tokens) > losses[2]


def test_training_lowers_the_loss_resumes_and_goes_deeper(shards, tmp_path):
    trainer = TokenTrainer([shards], tmp_path, 4)
    rows = np.arange(8)

    def loss(model):
        model.generator.manual_seed(5)
        with torch.no_grad():
            return sum(value.item() for value in model.losses(rows, 80))

    before = loss(trainer)
    trainer.train(until=20, batch=8, keep=80, peak=2e-3)
    after = loss(trainer)
    assert after < 0.8 * before
    tower = 'vision_backbone.featurizer.pos_embed'
    wanted = trainer.sight.model.state_dict()[tower]
    assert torch.equal(trainer.model.state_dict()[tower], wanted)
    deeper = TokenTrainer([shards], tmp_path, 8)
    assert deeper.loop.done == 20 and loss(deeper) == pytest.approx(after, rel=1e-4)
    deeper.train(until=21, batch=2, keep=80, peak=1e-3)
    saved = load_checkpoint(tmp_path / 'model')
    assert saved.config.decoder().num_hidden_layers == 8


def test_fed_tokens_are_right_stale_or_jittered_and_always_actions(shards, tmp_path):
    trainer = TokenTrainer([shards], tmp_path, 2)
    wanted, following = torch.full((3000, 7), 959), torch.full((3000, 7), 900)
    fed = trainer.feed(wanted, following)
    stale = (fed == 900).all(1).float().mean()
    jittered = ((fed != 900).any(1) & (fed != 959).any(1)).float().mean()
    assert stale == pytest.approx(trainer.feeding.next_action, abs=0.04)
    assert jittered == pytest.approx(trainer.feeding.jittered, abs=0.04)
    assert fed.min() >= 704 and fed.max() <= 959


def test_the_shipped_model_acts_and_can_be_the_student(tmp_path):
    policy = Policy.from_pretrained('tabletop-openvla')
    assert (policy.num_images, policy.chunk, policy.proprio_size) == (1, 1, 0)
    assert load_checkpoint('tabletop-openvla').config == openvla_config()
    env = Tabletop(policy.num_images)
    observation = env.reset(400_000)
    distance = np.linalg.norm(env.tcp() - env.cube_position(env.task.cube))
    for _ in range(12):
        for action in policy.act(observation)[0].actions:
            env.step(action)
        observation = env.observe()
    moved = np.linalg.norm(env.tcp() - env.cube_position(env.task.cube))
    env.close()
    assert moved < 0.6 * distance
    collect(tmp_path, 2, 7, model_actor(policy, np.random.default_rng(0)), shard=2)
    assert (tmp_path / '0000.npz').exists()
