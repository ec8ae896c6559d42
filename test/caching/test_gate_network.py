# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The gate network scores tokens from their own place and behaves alike everywhere."""

from gate_samples import inputs
from gate_samples import network
import pytest
import torch
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork


@pytest.mark.parametrize('sizes', [{}, {'cameras': 3}, {'language_dim': 4096}])
def test_network_has_less_than_a_million_parameters_and_three_parts_to_freeze(sizes):
    made = GateNetwork(GateConfig(**sizes))
    assert sum(p.numel() for p in made.parameters()) < 1_000_000
    parts = {name.split('.')[0] for name, _ in made.named_parameters()}
    assert parts == {'trunk', 'selector', 'predictor'}


def test_network_gives_a_logit_a_token_and_one_a_ratio_undecided_at_first():
    made = GateNetwork(GateConfig())
    scores, ratios = made(inputs(3))
    assert scores.shape == (3, 512) and ratios.shape == (3, len(GateConfig().ratios))
    assert scores.abs().max() < 0.1 and ratios.abs().max() < 0.1


def test_a_batch_and_its_cameras_do_not_mix():
    made, batch = network(), inputs(3)
    scores, ratios = made(batch)
    for index in range(3):
        one, ratio = made(batch[index : index + 1])
        assert torch.allclose(one[0], scores[index], atol=1e-5)
        assert torch.allclose(ratio[0], ratios[index], atol=1e-4)
    other = batch.clone()
    other[:, 1] = inputs(3, seed=1)[:, 1]
    changed, _ = made(other)
    assert torch.allclose(changed[:, :256], scores[:, :256], atol=1e-5)
    assert not torch.allclose(changed[:, 256:], scores[:, 256:], atol=1e-2)


def test_cameras_are_computed_alike_up_to_their_embedding():
    made, batch = network(), inputs()
    scores, ratios = made(batch)
    made.trunk.camera.data = made.trunk.camera.data.flip(0)
    swapped, same = made(batch.flip(1))
    assert torch.allclose(swapped[0].view(2, 256).flip(0).flatten(), scores[0], atol=1e-5)
    assert torch.allclose(same, ratios, atol=1e-4)


def test_training_and_inference_compute_the_same_and_every_parameter_learns():
    made, batch = network(), inputs(2)
    expected = made(batch)[0]
    scores, ratios = made.train()(batch)
    assert torch.equal(scores, expected)
    (scores.square().mean() + ratios.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_a_token_is_scored_from_its_own_place():
    made, batch = network(depth=0), inputs()
    changed = batch.clone()
    changed[0, 1, :, 21:28, 35:42] += 1  # second camera, row 3, column 5
    moved = (made(changed)[0] - made(batch)[0])[0].abs() > 1e-6
    assert moved.nonzero()[:, 0].tolist() == [256 + 3 * 16 + 5]


def test_language_starts_without_effect_and_then_shifts_the_scores():
    made, batch = network(language_dim=8), inputs()
    words = torch.arange(8.0)[None]
    blind = made(batch, words)[0]
    assert torch.equal(blind, made(batch, -words)[0])
    torch.nn.init.normal_(made.trunk.film.weight)
    assert not torch.allclose(made(batch, words)[0], made(batch, -words)[0], atol=1e-2)
    scaled = made(batch, 1e-2 * words)[0]  # embeddings differ in scale from model to model
    assert torch.allclose(scaled, made(batch, words)[0], atol=1e-1)


@pytest.mark.parametrize(
    'sizes, given, message',
    [
        ({}, (inputs(cameras=1),), 'gate inputs: expected [1, 2, 7, 112, 112], found [1, 1,'),
        ({}, (inputs(), torch.zeros(1, 8)), 'gate language: expected None, found [1, 8]'),
        ({'language_dim': 8}, (inputs(),), 'gate language: expected [1, 8], found None'),
    ],
)
def test_network_refuses_inputs_of_another_shape(sizes, given, message):
    with pytest.raises(ValueError, match='expected') as error:
        network(**sizes)(*given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    'field, value',
    [
        ('cameras', 0),
        ('width', 10**9),
        ('depth', -1),
        ('width', 4.5),
        ('language_dim', True),
        ('ratios', ()),
        ('ratios', (0.0, 0.5, 0.5)),
        ('ratios', (0.5, 1.5)),
        ('ratios', (float('nan'),)),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f'{field}: expected'):
        GateConfig(**{field: value})
