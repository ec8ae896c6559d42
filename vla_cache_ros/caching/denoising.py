# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let a flow model's expert read one episode's cache and denoise a chunk of actions.

The expert is no slot: it reads what the slots hold, and what it writes lasts for one step. Knows
neither why a slot is active nor what an action means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.staging import Fields
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.flow.sampler import FlowSampler
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise


class Denoiser:
    """Run the expert of a model against one cache; steps: of the flow, the model's own if None."""

    def __init__(
        self,
        model: VLAModel,
        cache: EpisodeCache,
        steps: int | None,
        pointwise: Pointwise = PLAIN,
    ) -> None:
        self._cache, self._head = cache, model.action_head
        self.config = model.config.flow
        self._sampler = FlowSampler(model.action_head, steps, pointwise)
        self._most = 0.0  # the largest weight of the pull, which a recorded head holds

    def actions(
        self,
        used: int,
        behind: tuple[Tensor, Tensor],
        unseen: Tensor | None,
        state: Tensor | None,
        noise: Tensor,
        guidance: Guidance | None,
    ) -> Tensor:
        """
        Return the normalised actions `[C, A]` float32, all tensors on the model's device.

        used: slots that are read, the first ones. behind: rotary tables of the expert's rows.
        unseen: `[used]` added to the scores, None where every slot is seen. state: normalised
        `[P]`, which pi0 takes here. noise: `[C, action_size]`.
        """
        mask = None if unseen is None else unseen[None, None, None]
        keys, values = zip(*(self._seen(layer, used) for layer in self._cache.layers), strict=True)
        crossed = {i: self._seen(layer, used) for i, layer in self._cache.crossed.items()}
        memory = Memory(list(keys), list(values), *behind, mask, crossed)
        if state is not None:
            state = F.pad(state, (0, self.config.state_size - len(state)))
        return self._sampler(memory, noise, state, guidance)[:, : self.config.action_dim]

    def noise(self, seed: int) -> Tensor:
        """Draw the noise of the coming step."""
        return self._head.noise(seed, self._cache.step)

    def act(
        self,
        used: int,
        behind: tuple[Tensor, Tensor],
        unseen: Tensor | None,
        proprio: np.ndarray | None,
        seed: int,
        guidance: Guidance | None,
    ) -> np.ndarray:
        """Return the normalised actions `[C, A]` in float64; arguments as for `actions`."""
        device = self._cache.layers[0].keys.device
        state = None if proprio is None else torch.from_numpy(proprio).to(device)
        if guidance is not None:
            guidance = replace(
                guidance, left=guidance.left.to(device), weights=guidance.weights.to(device)
            )
        noise = self.noise(seed).to(device)
        found = self.actions(used, behind, unseen, state, noise, guidance)
        return found.to('cpu', torch.float64).numpy()

    @property
    def fields(self) -> Fields:
        """Return what a recorded step stages for the expert besides noise and state."""
        chunk = self.config.chunk
        return {
            'left': (np.float32, (chunk, self.config.action_size)),
            'weights': (np.float32, (chunk,)),
        }

    def stage(self, host: dict[str, np.ndarray], guidance: Guidance | None) -> bool:
        """Write `fields`; returns whether what is recorded must be recorded anew."""
        host['weights'][:] = 0  # pulls nowhere
        if guidance is None:
            return False
        host['left'][:], host['weights'][:] = guidance.left, guidance.weights
        before, self._most = self._most, guidance.most
        return before != self._most

    def staged(
        self, used: int, behind: tuple[Tensor, Tensor], given: Mapping[str, Tensor]
    ) -> Tensor:
        """Return what `actions` does, of what lies on the device."""
        like = behind[0]
        guidance = Guidance(given['left'], given['weights'], self._most)
        state = given['proprio'][0] if self.config.proprio_dim else None
        return self.actions(
            used, behind, given['unseen'].to(like.dtype), state, given['noise'], guidance
        )

    @staticmethod
    def _seen(layer: object, used: int) -> tuple[Tensor, Tensor]:
        return layer.keys[:, :, :used], layer.values[:, :, :used]
