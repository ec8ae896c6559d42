# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run SmolVLA, pi0 or pi0.5 the way LeRobot's users do: nothing kept, nothing left out.

Every row that LeRobot computes is computed: all of the padded prompt, the cameras that are
absent, the whole last layer and norm of a prefix whose output no one reads; at every step of the
flow the crossed layers' keys and values, pi0's state and pi0.5's modulation of every norm. Layers
and decoder are transformers', attention is fused and of the model's type: LeRobot's is neither.
Knows no slots. Source: LeRobot 0.6.1, `policies/{smolvla,pi0,pi05}`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
import torch.nn.functional as F
from transformers import DynamicCache
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.model import VLAModel


class PlainFlow:
    """
    Compute a chunk from pictures, prompt and state; the weights are the model's own.

    empty_cameras: of the checkpoint's cameras those that the robot lacks: they are computed, and
    seen by no one.
    """

    def __init__(self, model: VLAModel, empty_cameras: int = 0) -> None:
        self._model, self._empty, self._flow = model, empty_cameras, model.config.flow

    def see(self, pixel_values: Tensor) -> Tensor:
        """Map `[1, cams * 3, H, W]` in [-1, 1] to the features of all cameras, `[1, V, F]`."""
        absent = torch.full_like(pixel_values[:, :3], -1).repeat(1, self._empty, 1, 1)
        return self._model.vision_features(torch.cat([pixel_values, absent], dim=1))

    def prefix(self, visual: Tensor, ids: Tensor, state: Tensor | None) -> Memory:
        """
        Return what the expert reads, padding and absent cameras among it.

        visual: projected tokens of all cameras `[1, V, D]`. ids: the prompt `[1, T]`. state:
        normalised `[1, P]`, where it is a slot.
        """
        model, flow = self._model, self._flow
        padding = flow.prompt_tokens - ids.shape[1]
        if padding < 0:
            raise ValueError(
                f'prompt: expected at most {flow.prompt_tokens} tokens, got {ids.shape[1]}'
            )
        parts = [visual, model.embed_text(F.pad(ids, (0, padding)))]
        if flow.state_slot:
            parts.append(model.embed_state(state)[:, None])
        embeds = torch.cat(parts, dim=1)  # [1, L, D]
        real = torch.ones(1, embeds.shape[1], dtype=torch.bool, device=embeds.device)
        text = visual.shape[1]
        real[:, text - self._empty * model.config.tokens : text] = False
        real[:, text + ids.shape[1] : text + flow.prompt_tokens] = False
        unseen = embeds.new_zeros(real.shape).masked_fill_(~real, -torch.inf)[:, None, None]
        mask = unseen.repeat(1, 1, embeds.shape[1], 1)  # [1, 1, L, L]
        if flow.state_slot:
            mask[:, :, :-1, -1] = -torch.inf
        decoder, cache = model.language_model.model, DynamicCache()
        decoder(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=real.cumsum(1) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        behind = real.sum() + torch.arange(model.action_head.rows, device=ids.device)
        cos, sin = decoder.rotary_emb(embeds, position_ids=behind[None])
        keys, values = [one.keys for one in cache.layers], [one.values for one in cache.layers]
        return Memory(keys, values, cos, sin, unseen)

    def denoise(self, memory: Memory, noise: Tensor, state: Tensor | None) -> Tensor:
        """
        Return the chunk `[C, A]` float32 that noise `[C, action_size]` becomes.

        state: normalised `[1, P]`, which pi0 takes here.
        """
        flow, expert = self._flow, self._model.action_head
        if flow.state_row:
            state = F.pad(state, (0, flow.state_size - state.shape[1]))
        x = noise.to(memory.keys[0].device)[None]
        for step in range(flow.steps):
            crossed = self._model.crossed(memory.keys, memory.values)
            time = x.new_full((1,), 1 - step / flow.steps)
            velocity = expert.velocity(x, time, replace(memory, crossed=crossed), state)
            x = x - velocity / flow.steps
        return x[0, :, : flow.action_dim]
