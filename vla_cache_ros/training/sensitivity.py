# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what each token's staleness does to the action: what stage I teaches the selector.

Halfway between the cached keys and values and the new ones, the gradient of the action with
respect to "how new is this token" tells, for all tokens at once and to first order, how far the
action moves if that token alone is recomputed. Measured at either end it is far less faithful:
attention saturates. Knows neither the gate nor its input.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.settings import EXECUTED
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.model import VLAModel

HALFWAY = 0.5  # between the cached (0) and the new (1) keys and values
SLOW = 0.1  # normalised translation per action, below which an error does not count more


def sensitivity(
    model: VLAModel,
    inputs: Sequence[Tensor | None],
    cache: StaleCache,
    generator: torch.Generator,
    at: float = HALFWAY,
    labels: Tensor | None = None,
    action_tokens: Tensor | None = None,
    executed: int = EXECUTED,
    start: FlowStart | None = None,
    draws: int = 1,
) -> tuple[Tensor, Tensor]:
    """
    Return the square of each token's effect `[B, V]`, up to a factor, and the actions `[B, E, A]`.

    inputs: pixel values, prompt ids with their mask, states. cache: filled, left as it is. at:
    where between the cached (0) and the new (1) keys and values; above 0. labels: normalised
    chunks `[B, C, A]`; the effect is then that on the L1 distance to them. Without labels it is
    that on one random direction of the executed actions, unbiased for all of them but noisy.
    action_tokens: `[B, A]` of a model that has such, whose one action is the mean over its bins.
    executed: E, how many actions of a chunk count. start: of a flow model's chunks, whose effects
    pass through as many steps. draws: random directions whose squares are averaged.
    """
    tokens = cache.keys[0].shape[2]
    mask = torch.full((len(inputs[0]), tokens), at, device=inputs[0].device, requires_grad=True)
    # towers take their mask as binary: everything is recomputed there
    output = masked_step(model, *inputs, mask, replace(cache), action_tokens, start)
    if model.action_head is None:
        output = expected_actions(model.config, output)  # [B, 1, A]
    output = output[:, :executed]  # [B, E, A]
    total = torch.zeros_like(mask)
    for left in reversed(range(draws)):
        if labels is None:
            signs = torch.randint(0, 2, output.shape, generator=generator).to(output) * 2 - 1
        else:
            signs = (output.detach() - labels[:, :executed]).sign()
        (gradient,) = torch.autograd.grad(output, mask, signs, retain_graph=left > 0)
        total += gradient**2
    return total / draws, output.detach()


def expected_actions(config: VLAConfig, logits: Tensor) -> Tensor:
    """
    Return the mean normalised actions `[B, 1, A]` that logits `[B, A, vocabulary]` stand for.

    Unlike the likeliest token's action it moves with every logit, and so has a gradient.
    """
    ids = np.arange(config.action_vocab_end - config.n_action_bins, config.action_vocab_end)
    centers = ActionTokens(config.action_vocab_end, config.n_action_bins).decode(ids)
    shares = logits[..., ids[0] : ids[-1] + 1].softmax(-1)  # [B, A, bins]
    return (shares @ torch.from_numpy(centers).to(shares))[:, None]


def precision(actions: Tensor) -> Tensor:
    """
    Return what an error weighs `[B]` beside normalised actions `[B, E, A]`: more in slow motion.

    The same millimetre decides a grasp and is corrected on the way to it.
    """
    speed = actions[:, :, :3].norm(dim=2).mean(1)
    return (speed + SLOW) ** -2
