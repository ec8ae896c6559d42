# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let gradients pass through two discrete choices: how many tokens to reuse, and which.

Forward everything is as hard as in inference; backward a ratio is a Gumbel-softmax and a token's
place is a steep sigmoid around the threshold of each candidate ratio. Knows no model and no loss.
Source: arXiv 2602.00686, section on training; the mixture over candidates is this project's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
import torch.nn.functional as F

STEEPNESS = 1.0  # width of the sigmoid, in standard deviations of a step's scores


def sample_ratio(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """
    Return Gumbel-softmax weights `[B, ratios]`; the largest is the ratio that is taken.

    logits: `[B, ratios]`. temperature: towards 0 the weights become one-hot.
    """
    uniform = torch.rand(logits.shape, generator=generator).to(logits).clamp(1e-6, 1 - 1e-6)
    return F.softmax((logits - torch.log(-torch.log(uniform))) / temperature, dim=1)


def soft_mask(scores: Tensor, weights: Tensor, budgets: Sequence[int]) -> Tensor:
    """
    Return how much each token is recomputed, `[B, V]` in (0, 1), mixed over candidate ratios.

    scores: logits `[B, V]`. weights: of the candidates, `[B, ratios]`. budgets: tokens
    that each candidate recomputes.
    """
    # Only the order counts: without this, "recompute more" would raise all scores for ever.
    scores = scores - scores.mean(dim=1, keepdim=True)
    ordered = scores.detach().sort(dim=1, descending=True).values  # [B, V]
    width = STEEPNESS * ordered.std(dim=1, keepdim=True).clamp(min=1e-3)  # [B, 1]
    tokens = scores.shape[1]
    places = []
    for budget in budgets:
        if budget >= tokens:
            places.append(torch.ones_like(scores))
        else:  # halfway between the last token taken and the first one left
            edge = ordered[:, max(0, budget - 1) : budget + 1].mean(dim=1, keepdim=True)
            places.append(((scores - edge) / width).sigmoid())
    return (weights[:, :, None] * torch.stack(places, dim=1)).sum(dim=1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the value of `hard` with the gradient of `soft`."""
    return hard + (soft - soft.detach())
