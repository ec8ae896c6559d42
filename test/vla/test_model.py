# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The batched, differentiable side of the model: what training relies on."""

import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.actions import Bounds
from vla_cache_ros.vla.actions import OFT_EPSILON
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.vision import Looked


@pytest.fixture(scope='module')
def model():
    return init_model(tiny_config())


def inputs(batch=2):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch, 6, 224, 224, generator=generator)
    ids = torch.randint(3, 500, (batch, 9), generator=generator)
    return pixels, ids, torch.randn(batch, 8, generator=generator)


def test_padding_changes_nothing(model):
    pixels, ids, proprio = inputs()
    padded = torch.cat([ids, torch.full((2, 4), 512)], dim=1)
    mask = torch.ones_like(padded, dtype=torch.bool)
    mask[:, 9:] = False
    padded[1, 6:], mask[1, 6:] = 512, False
    with torch.no_grad():
        found = model.predict_chunk(pixels, padded, mask, proprio)
        whole = model.predict_chunk(pixels[:1], ids[:1], None, proprio[:1])
        short = model.predict_chunk(pixels[1:], ids[1:, :6], None, proprio[1:])
    assert found.shape == (2, 8, 7)
    assert torch.allclose(found, torch.cat([whole, short]), atol=1e-6)
    assert not torch.allclose(whole, short, atol=1e-4)


def test_tower_features_of_some_patches_are_those_of_the_whole_image_if_the_rest_is_cached(model):
    pixels, _, _ = inputs(1)
    images, towers = pixels.view(2, 3, 224, 224), model.vision_backbone
    active = torch.rand(2, 256) < 0.2
    every = torch.ones_like(active)
    with torch.no_grad():
        whole = model.vision_features(pixels)[0]
        cache, other = towers.cache(2), towers.cache(2)
        assert torch.equal(towers.recompute([Looked(images, every, cache)])[0], whole)
        some = towers.recompute([Looked(images, active, cache)])[0]
        for part in (active, ~active):  # fills a cache piece by piece; the second sees all of it
            towers.recompute([Looked(images, part, other)])
    assert torch.allclose(some, whole[active.flatten()], atol=1e-5)
    assert torch.allclose(cache[0][0], other[0][0], atol=1e-5)


def test_a_causal_row_ignores_what_comes_after_it(model):
    embeds, positions = torch.randn(1, 12, 32), torch.arange(12)[None]
    changed = embeds.clone()
    changed[:, 8:] += 1
    with torch.no_grad():
        before, after = model.decode(embeds, positions), model.decode(changed, positions)
        mask = torch.ones(1, 12, dtype=torch.bool)
        masked = model.decode(embeds, positions, mask)
        seeing = model.decode(changed, positions, bidirectional=True)
    assert torch.equal(before[:, :8], after[:, :8])
    assert torch.allclose(before, masked, atol=1e-6)
    assert not torch.allclose(before[:, :8], seeing[:, :8], atol=1e-4)


def test_every_weight_that_is_computed_gets_a_gradient():
    model = init_model(tiny_config())
    pixels, ids, proprio = inputs()
    model.predict_chunk(pixels, ids, None, proprio).abs().sum().backward()
    idle = {name for name, weight in model.named_parameters() if weight.grad is None}
    never = ('vision_backbone.featurizer.blocks.1.', 'vision_backbone.featurizer.norm.')
    assert idle == {
        name
        for name in model.state_dict()
        if name.startswith(never) or name == 'language_model.lm_head.weight'
    }


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = init_model(tiny_config(), 1), init_model(tiny_config(), 1)
    assert torch.equal(before, torch.get_rng_state())
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    other = init_model(tiny_config(), 2)
    assert not torch.equal(first.projector.fc1.weight, other.projector.fc1.weight)


def test_action_tokens_stand_for_bin_centres_and_clip_outside():
    tokens = ActionTokens(32000)
    values = tokens.decode(np.array([31999, 31745, 31744, 2, 32063]))
    end = 1 - 1 / 255
    assert values == pytest.approx([-end, end, end, end, -end])


def test_action_tokens_encode_as_openvla_does_and_decode_to_within_half_a_bin():
    tokens = ActionTokens(32000)
    assert tokens.encode([-1.0, -0.9999, 0.0, 1.0, -7.0]).tolist() == [
        31999, 31999, 31872, 31744, 31999,
    ]  # fmt: skip
    values = np.random.default_rng(0).uniform(-1, 1, (50, 7))
    assert np.abs(tokens.decode(tokens.encode(values)) - values).max() <= 1 / 255 + 1e-12
    ids = np.arange(31745, 32000)
    assert tokens.encode(tokens.decode(ids)).tolist() == ids.tolist()


def test_bounds_map_back_and_forth_and_leave_masked_values_raw():
    bounds = Bounds(np.array([-2.0, 0.0]), np.array([4.0, 1.0]), np.array([True, False]))
    assert bounds.denormalize(np.array([-1.0, 0.3])) == pytest.approx([-2.0, 0.3])
    assert bounds.denormalize(np.array([1.0, 0.3]), OFT_EPSILON)[0] == pytest.approx(4.0)
    assert bounds.normalize(np.array([9.0, 0.3])) == pytest.approx([1.0, 0.3])
    values = np.array([[0.5, 0.2], [-1.0, 0.9]])
    again = bounds.denormalize(bounds.normalize(values), OFT_EPSILON)
    assert again == pytest.approx(values, abs=1e-6)
