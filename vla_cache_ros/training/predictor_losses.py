# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Two ways to teach the predictor how much to reuse.

`Relaxed` is the paper's: a Gumbel-softmax whose weights mix the masks, so that the task's gradient
arrives, against a price on what is not reused. `Regressed` is this project's: the logits predict
what each ratio costs, learned from what the ratios taken did cost; the choice then weighs that
against the same price. Source: arXiv 2602.00686; docs/explanation/gate.md tells how both did.
"""

import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.training.relaxation import sample_ratio
from vla_cache_ros.training.unroll import Unrolled

TEMPERATURE = 1.0
FAR = 3.0  # costs are told apart up to here: past LOGIT_BOUND no logit can follow them
ENTROPY = 0.02  # keeps the relaxed predictor from settling before the selector is good


class Relaxed:
    """Choose with Gumbel noise; learn from the task's gradient and the price."""

    start = 3.0  # price to begin with
    rate = 0.3  # change of the price, per update and share missing

    def __init__(self, ratios: Tensor) -> None:
        """ratios: those of the gate, `[ratios]`, on the device of the training."""
        self.ratios = ratios

    def choose(
        self, logits: Tensor, price: float, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the ratios taken `[G]` and their weights `[G, ratios]`, with a gradient."""
        weights = sample_ratio(logits, TEMPERATURE, noise)
        return weights.argmax(1), weights

    def align(self, logits: Tensor, cost: Tensor) -> Tensor:
        """Return 0: which ratio is best is left to the task."""
        return logits.sum() * 0

    def loss(self, step: Unrolled, cost: Tensor, price: float) -> Tensor:
        """Return the price of what the predictor's own choices do not reuse."""
        weights = step.weights[step.own]
        if not len(weights):
            return cost.sum() * 0
        entropy = -(weights * weights.clamp(min=1e-9).log()).sum(1).mean()
        return -price * (weights * self.ratios).sum(1).mean() - ENTROPY * entropy


class Regressed:
    """Choose what is worth most after the price; learn from what was paid."""

    start = 1.0
    rate = 0.1

    def __init__(self, ratios: Tensor) -> None:
        """ratios: those of the gate, `[ratios]`, on the device of the training."""
        self.ratios = ratios

    def choose(
        self, logits: Tensor, price: float, noise: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the ratios taken `[G]` and one-hot weights `[G, ratios]`, without a gradient."""
        taken = (logits.detach() + price * self.ratios).argmax(1)
        return taken, F.one_hot(taken, len(self.ratios)).float()

    def align(self, logits: Tensor, cost: Tensor) -> Tensor:
        """Return the error of the predicted cost of every ratio, `[B, ratios]`, about 1."""
        return F.smooth_l1_loss(-logits, cost.clamp(max=FAR))

    def loss(self, step: Unrolled, cost: Tensor, price: float) -> Tensor:
        """Return the error of the predicted cost; `cost` `[G]` is in units of its running mean."""
        predicted = -step.logits.gather(1, step.taken[:, None])[:, 0]
        return F.smooth_l1_loss(predicted, cost.detach())


PREDICTORS = {'regressed': Regressed, 'relaxed': Relaxed}
