# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose tokens with the knowledge of each one's effect, as no robot can: what a gate could reach.

How many a step recomputes is the same share at every step, or comes of one price for all steps.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from vla_cache_ros.training.alignment import left_out
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import HALFWAY
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.vla.checkpoint import LoadedVLA

DRAWS = 4  # random directions of the action that an effect is the mean of
# From what a step leaves out if it recomputes 0 to V tokens, [V + 1], to how many it does.
Allotment = Callable[[np.ndarray], int]


@dataclass(frozen=True)
class Known:
    """
    Hold what a chooser answered at n cached steps.

    actions: normalised `[n, C, A]`. reuses: shares `[n]`. costs: what each number of recomputed
    tokens would have left out, `[n, V + 1]`.
    """

    actions: np.ndarray
    reuses: np.ndarray
    costs: np.ndarray


def same_share(reuse: float) -> Allotment:
    """Return the allotment that reuses the same share at every step."""
    return lambda costs: round((len(costs) - 1) * (1 - reuse))


def one_price(price: float) -> Allotment:
    """Return the allotment that recomputes tokens as long as they are worth their price."""
    return lambda costs: int((costs + price * np.arange(len(costs))).argmin())


def fair_price(costs: np.ndarray, reuse: float) -> float:
    """Return the price at which steps of costs `[n, V + 1]` reuse a share on average."""
    low, high = np.log(1e-12), np.log(costs.max() + 1e-9)
    for _ in range(60):
        price = (low + high) / 2
        recomputed = np.mean([one_price(np.exp(price))(row) for row in costs])
        if 1 - recomputed / (costs.shape[1] - 1) < reuse:
            low = price
        else:
            high = price
    return float(np.exp((low + high) / 2))


def knowing_answers(
    vla: LoadedVLA,
    recordings: Recordings,
    runs: Sequence[np.ndarray],
    allot: Allotment,
    executed: int,
    at: float = HALFWAY,
    flow_steps: int = 1,
    relative: bool = False,
) -> Known:
    """
    Return what a chooser answers that knows the effects, measured at `at`.

    executed: actions of a chunk that count. flow_steps: that effects of a flow pass through.
    relative: whether costs are weighed by how precise the motion has to be.
    """
    signs = torch.Generator().manual_seed(0)
    tokens = vla.config.cameras * vla.config.tokens
    full = torch.ones(1, tokens)
    found = []
    for run in runs:
        cache = StaleCache()
        for place, frame in enumerate(run):
            inputs = batch_inputs(vla, recordings, np.array([frame]))
            start = through = None
            if vla.config.flow is not None:  # from the noise that a policy begins with
                noise = vla.model.action_head.noise(0, place)[None]
                start = FlowStart(noise, vla.config.flow.steps)
                through = FlowStart(noise, flow_steps)
            if not place:
                with torch.no_grad():
                    masked_step(vla.model, *inputs, full, cache)
                continue
            effects, halfway = sensitivity(
                vla.model, inputs, cache, signs, at, executed=executed, start=through, draws=DRAWS
            )
            costs = left_out(effects, effects, range(tokens + 1))[0]
            if relative:
                costs = costs * precision(halfway)
            mask = torch.zeros_like(full)
            mask[0, effects[0].topk(allot(costs.numpy())).indices] = 1
            with torch.no_grad():
                action = masked_step(vla.model, *inputs, mask, cache, start=start)
            found.append((action[0].numpy(), 1 - float(mask.mean()), costs.numpy()))
    return Known(*map(np.array, zip(*found, strict=True)))
