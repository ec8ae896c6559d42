# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through recordings step by step with caches as stale as the gate in training leaves them.

Each stream is one robot: its gate input, its provenance, its random numbers. A step chooses with
the deployed rules (top k, age limit, recovery) and returns the model's output with a gradient to
the gate. That is taken halfway between cached and new keys and values, as in stage I: at the hard
choice it says little. Knows no loss and no optimizer.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.provenance import Provenance
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.caching.selection import select
from vla_cache_ros.training.batches import prompt_embedding
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.relaxation import soft_mask
from vla_cache_ros.training.relaxation import straight_through
from vla_cache_ros.training.sensitivity import HALFWAY
from vla_cache_ros.vla.model import VLAModel

# Share of steps with a random ratio: the selector must serve every one, and what a ratio costs is
# learned only where it is taken.
EXPLORED = 0.5
Choice = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Unrolled:
    """
    Hold one step of all streams.

    output: chunks `[B, C, A]` of the hard choice. gated: the streams `[G]` that the gate decided
    for; the others began a recording. logits: of the ratios, `[G, ratios]`. weights: of the ratios
    in the mask's gradient, `[G, ratios]`. taken: index of each ratio `[G]`. own: bool `[G]`,
    whether it was the predictor's choice, not a random one.
    """

    output: Tensor
    gated: np.ndarray
    logits: Tensor
    weights: Tensor
    taken: Tensor
    own: Tensor


class Unroll:
    """Hold the streams of one batch; every stream's first step must begin a recording."""

    def __init__(self, model: VLAModel, network: GateNetwork, streams: int, seed: int) -> None:
        """
        Begin with empty caches.

        seed: of recovery and of the ratios' noise.
        """
        self._model, self._network = model, network
        self._inputs = [MotionInput() for _ in range(streams)]
        self._past = [Provenance(network.config.tokens) for _ in range(streams)]
        self._cache, self._device = StaleCache(), model.like.device
        self._rng = np.random.default_rng(seed)
        self._noise = torch.Generator().manual_seed(seed)
        self._budgets = budgets(network.config)

    def step(
        self,
        images: np.ndarray,
        inputs: tuple[Tensor, Tensor, Tensor, Tensor | None],
        begins: Sequence[bool],
        choose: Choice,
        start: FlowStart | None = None,
    ) -> Unrolled:
        """
        Run one step of every stream.

        images: that gates see, uint8 `[B, cams, S, S, 3]`. inputs: pixel values, prompt ids with
        their mask, states. begins: whether a stream's recording begins here; everything is
        recomputed then. choose: turns ratio logits into (index taken, weights); some are then
        taken at random. start: of a flow model's chunks.
        """
        gated = np.flatnonzero(~np.asarray(begins))
        planes = self._planes(images, begins)
        logits = weights = torch.empty(0, len(self._budgets), device=self._device)
        taken = own = torch.empty(0, dtype=torch.long, device=self._device)
        hard = np.ones((len(images), self._network.config.tokens), dtype=bool)
        if len(gated):
            planes = torch.from_numpy(np.stack(planes)).to(self._device)
            scores, logits = self._network(planes, self._language(inputs, gated))
            chosen, weights = choose(logits, self._noise)
            taken, own = self._explore(chosen)
            # what a random ratio costs says nothing of what the predictor's own would
            random = F.one_hot(taken, len(self._budgets)).float()
            weights = torch.where(own[:, None], weights, random)
            wanted = scores.detach().cpu().numpy()
            for stream, row, ratio in zip(gated, wanted, taken.tolist(), strict=True):
                ages, budget = self._past[stream].ages(), self._budgets[ratio]
                hard[stream] = select(
                    row, ages, budget, DEFAULT_MAX_AGE, DEFAULT_RECOVERY, self._rng
                )
        mask, before = torch.from_numpy(hard).float().to(self._device), replace(self._cache)
        with torch.no_grad():
            output = masked_step(self._model, *inputs, mask, self._cache, start=start)
        if len(gated):
            index = torch.from_numpy(gated).to(self._device)
            soft = soft_mask(scores, weights, self._budgets)
            halfway = straight_through(torch.full_like(soft, HALFWAY), soft)
            mask = mask.index_copy(0, index, halfway)
            through = masked_step(self._model, *inputs, mask, before, start=start)
            output = straight_through(output, through)
        for past, image, produced in zip(self._past, images, hard, strict=True):
            past.commit(produced, patchify(image))
        return Unrolled(output, gated, logits, weights, taken, own)

    def _explore(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Replace some of the chosen ratios `[G]` by random ones above the lowest; say which."""
        random = torch.randint(1, len(self._budgets), chosen.shape, generator=self._noise)
        own = (torch.rand(chosen.shape, generator=self._noise) >= EXPLORED).to(chosen.device)
        return torch.where(own, chosen, random.to(chosen)), own

    def _planes(self, images: np.ndarray, begins: Sequence[bool]) -> list[np.ndarray]:
        """Return what the gate sees of each stream that continues, `[cams, 7, S, S]`."""
        found = []
        for stream, begin in enumerate(begins):
            if begin:
                self._inputs[stream].remember(images[stream])
                self._past[stream] = Provenance(self._network.config.tokens)
            else:
                past = self._past[stream]
                found.append(self._inputs[stream](images[stream], past.pixels, past.ages()))
        return found

    def _language(self, inputs: tuple[Tensor | None, ...], gated: np.ndarray) -> Tensor | None:
        if not self._network.config.language_dim:
            return None
        _, ids, mask, _ = inputs
        return prompt_embedding(self._model, ids, mask)[gated]


def budgets(config: GateConfig) -> list[int]:
    """Return the tokens that each ratio of a gate recomputes."""
    return [budget_size(config.tokens, ratio, DEFAULT_MAX_AGE) for ratio in config.ratios]
