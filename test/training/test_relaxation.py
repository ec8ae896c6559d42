# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The relaxed choice points where the hard choice would improve."""

import numpy as np
import pytest
import torch
from vla_cache_ros.training.relaxation import sample_ratio
from vla_cache_ros.training.relaxation import soft_mask
from vla_cache_ros.training.relaxation import straight_through

TOKENS = 16
BUDGETS = [16, 10, 4]


def hard(scores, budget):
    mask = torch.zeros(TOKENS)
    mask[scores.topk(budget).indices] = 1.0
    return mask


@pytest.fixture
def scores():
    return torch.from_numpy(np.random.default_rng(0).permutation(TOKENS) / 4.0).float()


def test_soft_mask_is_above_a_half_exactly_where_the_hard_one_is_set(scores):
    for index, budget in enumerate(BUDGETS):
        weights = torch.eye(3)[index][None]
        soft = soft_mask(scores[None], weights, BUDGETS)[0]
        assert torch.equal((soft > 0.5).float(), hard(scores, budget))


def test_straight_through_has_the_value_of_one_and_the_gradient_of_the_other(scores):
    logits = scores.clone().requires_grad_()
    soft = soft_mask(logits[None], torch.eye(3)[1][None], BUDGETS)[0]
    mask = straight_through(hard(scores, 10), soft)
    assert torch.allclose(mask, hard(scores, 10), atol=1e-6)
    mask[3].backward()
    assert logits.grad[3] > 0


def test_nothing_is_gained_by_raising_all_scores(scores):
    logits = scores.clone().requires_grad_()
    soft = soft_mask(logits[None], torch.full((1, 3), 1 / 3), BUDGETS)[0]
    (soft * torch.rand(TOKENS, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert abs(logits.grad.sum()) < 1e-5 < logits.grad.abs().max()


def test_ratio_gradient_agrees_in_sign_with_finite_differences_of_the_expected_loss(scores):
    # the loss of recomputing a token is negative where it helps: more tokens, less loss
    value = -torch.rand(TOKENS, generator=torch.Generator().manual_seed(1)) - 0.1
    losses = torch.stack([(hard(scores, b) * value).sum() for b in BUDGETS])

    def expected(logits):
        return (logits.softmax(0) * losses).sum()

    logits = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    mask = soft_mask(scores[None], logits.softmax(0)[None], BUDGETS)[0]
    (mask * value).sum().backward()
    step = 1e-2 * torch.eye(3)
    differences = torch.stack([expected(logits + d) - expected(logits - d) for d in step])
    assert torch.equal(logits.grad.sign(), differences.sign())
    assert logits.grad.abs().min() > 1e-3


def test_score_gradient_agrees_in_sign_with_swapping_a_token_in(scores):
    value = torch.where(torch.arange(TOKENS) % 2 == 0, -1.0, 1.0)  # balanced: even tokens help
    logits = scores.clone().requires_grad_()
    soft = soft_mask(logits[None], torch.eye(3)[1][None], BUDGETS)[0]
    (straight_through(hard(scores, 10), soft) * value).sum().backward()
    for token in torch.nonzero(hard(scores, 10) == 0)[:, 0]:
        raised = scores.clone()
        raised[token] = 100.0
        gained = (hard(raised, 10) - hard(scores, 10)).clamp(min=0)
        change = (gained * value).sum()  # what the token that comes in is worth
        assert torch.sign(change) == torch.sign(logits.grad[token])


def test_sampled_ratios_follow_the_logits_and_are_one_hot_when_cold():
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]])).repeat(4000, 1)
    weights = sample_ratio(logits, 0.05, torch.Generator().manual_seed(0))
    assert torch.allclose(weights.sum(1), torch.ones(4000), atol=1e-5)
    shares = torch.bincount(weights.argmax(1), minlength=3) / 4000
    assert torch.allclose(shares, torch.tensor([0.7, 0.2, 0.1]), atol=0.03)
    assert weights.max(1).values.median() > 0.99
