# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let a flow model's expert read one episode's cache and denoise a chunk of actions.

The expert is no slot: it reads what the slots hold, and what it writes lasts for one step. Knows
neither why a slot is active nor what an action means.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import SlotLayer
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.recording.staging import Fields
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.flow.sampler import FlowSampler
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise


@dataclass(frozen=True)
class Denoise:
    """
    Ask for a chunk, all tensors on the model's device.

    memory: of one cache. state: normalised `[P]`, which pi0 takes here. noise: `[C, action_size]`.
    """

    memory: Memory
    state: Tensor | None
    noise: Tensor
    guidance: Guidance | None


class Denoiser:
    """Run the expert of a model against caches; steps: of the flow, the model's own if None."""

    def __init__(self, model: VLAModel, steps: int | None, pointwise: Pointwise = PLAIN) -> None:
        self._head = model.action_head
        self.config = model.config.flow
        self._sampler = FlowSampler(model.action_head, steps, pointwise)
        self._most = 0.0  # the largest weight of the pull, which a recorded head holds

    def ask(
        self,
        cache: EpisodeCache,
        prompt: PromptSlots,
        unseen: Tensor | None,
        proprio: np.ndarray | None,
        seed: int,
        guidance: Guidance | None,
    ) -> Denoise:
        """
        Return what `act` takes.

        unseen: `[used]` added to the scores, None where every slot is seen. seed: with the
        cache's step it fixes the noise. The rest is as `SlotEngine.step` takes it.
        """
        device = cache.layers[0].keys.device
        mask = None if unseen is None else unseen[None, None, None]
        if guidance is not None:
            guidance = replace(
                guidance, left=guidance.left.to(device), weights=guidance.weights.to(device)
            )
        return Denoise(
            self.memory(cache, prompt.used, prompt.behind, mask),
            None if proprio is None else torch.from_numpy(proprio).to(device),
            self._head.noise(seed, cache.step).to(device),
            guidance,
        )

    def memory(
        self, cache: EpisodeCache, used: int, behind: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> Memory:
        """Return what the expert reads of a cache: the first `used` slots; behind: its tables."""
        keys, values = zip(*(_seen(layer, used) for layer in cache.layers), strict=True)
        crossed = {i: _seen(layer, used) for i, layer in cache.crossed.items()}
        return Memory(list(keys), list(values), *behind, mask, crossed)

    def act(self, asked: Sequence[Denoise]) -> list[np.ndarray]:
        """Return each one's normalised actions `[C, A]` in float64."""
        states = None if asked[0].state is None else torch.stack([one.state for one in asked])
        noise = torch.stack([one.noise for one in asked])
        guidance = [one.guidance for one in asked]
        found = self.actions([one.memory for one in asked], states, noise, guidance)
        return list(found.to('cpu', torch.float64).numpy())

    def actions(
        self,
        memories: Sequence[Memory],
        states: Tensor | None,
        noise: Tensor,
        guidance: Sequence[Guidance | None],
    ) -> Tensor:
        """Return the normalised actions `[N, C, A]` float32 of states `[N, P]` and noise."""
        if states is not None:
            states = F.pad(states, (0, self.config.state_size - states.shape[1]))
        return self._sampler(memories, noise, states, guidance)[..., : self.config.action_dim]

    def noise(self, seed: int, step: int) -> Tensor:
        """Draw the noise of a step."""
        return self._head.noise(seed, step)

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

    def staged(self, memory: Memory, given: Mapping[str, Tensor]) -> Tensor:
        """Return what `actions` does of one memory of N sequences, of what lies on the device."""
        pairs = zip(given['left'], given['weights'], strict=True)
        guidance = [Guidance(*pair, self._most) for pair in pairs]
        states = given['proprio'] if self.config.proprio_dim else None
        return self.actions([memory], states, given['noise'], guidance)


def _seen(layer: SlotLayer, used: int) -> tuple[Tensor, Tensor]:
    return layer.keys[:, :, :used], layer.values[:, :, :used]
