# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a batch of cached steps with a mask in place of gathered rows, so that gradients reach a gate.

Every token is computed, but what others see of it is `M * new + (1 - M) * cached`, for keys and
values at every layer. With a binary mask this is the engine's cached step. Knows no gate.
Source: method of arXiv 2602.00686, "training forward".
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from types import SimpleNamespace

import torch
from torch import Tensor
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.vision import VisionTower


@dataclass
class StaleCache:
    """
    Hold what a batch of episodes has cached, detached from any gradient.

    keys, values: per decoder layer `[B, heads, V, head_dim]`. towers: per tower and block
    `[B * cams, prefix + patches, 2 * dim]`. Empty before the first step, which must be a full one.
    """

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    towers: list[list[Tensor]] = field(default_factory=list)


@dataclass(frozen=True)
class FlowStart:
    """Say what a flow model's chunks become of, `[B, C, action_size]`, and in how many steps."""

    noise: Tensor
    steps: int


class _Mixing:
    """
    Stand in for a cache of transformers: mix new keys and values with the cached ones.

    layers: keys and values of every slot, mixed, with their gradient.
    """

    def __init__(self, mask: Tensor, cache: StaleCache, begin: int) -> None:
        """begin: the first visual slot."""
        self._mask, self._before, self._begin = mask, (cache.keys, cache.values), begin
        self.after, self.layers = StaleCache(), []

    def update(
        self, key_states: Tensor, value_states: Tensor, layer: int, *_: object
    ) -> tuple[Tensor, Tensor]:
        """Return `[B, heads, R, head_dim]` in which the visual slots are mixed."""
        mask, given = self._mask[:, None, :, None], (key_states, value_states)  # [B, 1, V, 1]
        begin, end = self._begin, self._begin + mask.shape[2]
        mixed = [new[:, :, begin:end] for new in given]
        if self._before[0]:
            before = [kept[layer] for kept in self._before]
            mixed = [old + mask * (new - old) for old, new in zip(before, mixed, strict=True)]
        self.after.keys.append(mixed[0].detach())
        self.after.values.append(mixed[1].detach())
        keys, values = (
            torch.cat([new[:, :, :begin], visual, new[:, :, end:]], dim=2)
            for new, visual in zip(given, mixed, strict=True)
        )
        self.layers.append(SimpleNamespace(keys=keys, values=values))
        return keys, values


def masked_step(
    model: VLAModel,
    pixel_values: Tensor,
    ids: Tensor,
    ids_mask: Tensor | None,
    proprio: Tensor | None,
    mask: Tensor,
    cache: StaleCache,
    tokens: Tensor | None = None,
    start: FlowStart | None = None,
) -> Tensor:
    """
    Return what the action is read from: chunks `[B, C, A]`, or logits `[B, A, vocabulary]`.

    pixel_values: `[B, cams * channels, H, W]`. ids: prompts `[B, T]` from BOS, right-padded,
    with ids_mask `[B, T]` or None. proprio: normalised `[B, P]`. mask: `[B, V]`, 1 = recomputed,
    its value binary. tokens: the action tokens `[B, A]` that a causal model is taught with. start:
    of a flow model's chunks; None gives none, where only the cache shall go on.
    """
    visual = model.project(masked_features(model, pixel_values, mask.detach(), cache))
    if model.config.flow is not None:
        mixing = _Mixing(mask, cache, 0)
        ids_mask = torch.ones_like(ids, dtype=torch.bool) if ids_mask is None else ids_mask
        memory = model.prefix(visual, ids, ids_mask, proprio, mixing)
        cache.keys, cache.values = mixing.after.keys, mixing.after.values
        if start is None:
            return visual.new_empty(len(visual), 0, 0)
        return denoise(model, memory, proprio, start)
    if model.config.bidirectional:
        embeds = model.chunk_embeds(visual, ids, proprio)
        positions, key_mask, read = model.chunk_rows(embeds.shape[1], ids, ids_mask)
    else:
        lengths = ids.new_full((len(ids),), ids.shape[1])
        if ids_mask is not None:
            lengths = ids_mask.sum(1)
        rows = zip(ids, tokens, lengths.tolist(), strict=True)
        fed = [torch.cat([prompt[:end], row[:-1]]) for prompt, row, end in rows]
        words = model.embed_text(pad_sequence(fed, batch_first=True))  # padding last, unseen
        embeds = torch.cat([words[:, :1], visual, words[:, 1:]], dim=1)
        positions = torch.arange(embeds.shape[1], device=ids.device).expand(len(ids), -1)
        last = lengths[:, None] - 1 + visual.shape[1]  # of the prompt
        key_mask, read = None, last + torch.arange(tokens.shape[1], device=ids.device)
    hidden = masked_decode(model, embeds, positions, key_mask, mask, cache)
    hidden = hidden.gather(1, read[..., None].expand(-1, -1, hidden.shape[-1]))
    if model.action_head is not None:
        return model.action_head(hidden)
    return model.logits(hidden)


def denoise(model: VLAModel, memory: Memory, proprio: Tensor | None, start: FlowStart) -> Tensor:
    """Return the normalised chunks `[B, C, A]` that a flow model makes of its memory."""
    flow, x = model.config.flow, start.noise
    if flow.state_row:
        proprio = F.pad(proprio, (0, flow.state_size - proprio.shape[1]))
    for step in range(start.steps):
        times = x.new_full((len(x),), 1 - step / start.steps)
        x = x - model.action_head.velocity(x, times, memory, proprio) / start.steps
    return x[:, :, : flow.action_dim]


def masked_features(
    model: VLAModel, pixel_values: Tensor, mask: Tensor, cache: StaleCache
) -> Tensor:
    """
    Return patch features `[B, V, F]` of `[B, cams * channels, H, W]`, towers masked too.

    mask: binary `[B, V]`. No gradient passes: a gate learns from the decoder alone.
    """
    backbone = model.vision_backbone
    with torch.no_grad():
        images = pixel_values.reshape(-1, backbone.channels, *pixel_values.shape[2:])
        by_image = mask.reshape(len(images), -1).bool()
        parts, kept = [], []
        for i, tower in enumerate(backbone.towers()):
            before = cache.towers[i] if cache.towers else None
            features, after = _tower(tower, images[:, 3 * i : 3 * i + 3], by_image, before)
            parts.append(features)
            kept.append(after)
        cache.towers = kept
        return torch.cat(parts, dim=-1).reshape(len(mask), mask.shape[1], -1)


def _tower(
    tower: VisionTower, images: Tensor, active: Tensor, before: list[Tensor] | None
) -> tuple[Tensor, list[Tensor]]:
    """
    Return features `[B, tokens, width]` and each block's keys and values, mixed.

    active: `[B, tokens]`, a binary mask.
    """
    x = tower.patch_embed(images) + tower.pos_embed
    active = tower.patches_of(active)
    # class and register tokens are recomputed wherever a camera has an active patch
    busy = active.any(dim=1, keepdim=True).expand(-1, tower.prefix_tokens)
    mask = torch.cat([busy, active], dim=1)[..., None]
    x = torch.cat([tower.prefix().expand(len(x), -1, -1), x], dim=1)
    after = []
    for index, block in enumerate(tower.used_blocks):
        attention = block.attn
        q, kv = attention.qkv(block.norm1(x)).split((x.shape[2], 2 * x.shape[2]), dim=2)
        if before is not None:
            kv = torch.where(mask, kv, before[index])
        after.append(kv)
        k, v = kv.unflatten(2, (2, attention.heads, -1)).permute(2, 0, 3, 1, 4)
        q = q.unflatten(2, (attention.heads, -1)).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = block.ls1(x, attention.proj(out))
        x = block.ls2(x, block.mlp(block.norm2(x)))
    return tower.finish(x[:, tower.prefix_tokens :]), after


def masked_decode(
    model: VLAModel,
    embeds: Tensor,
    positions: Tensor,
    key_mask: Tensor | None,
    mask: Tensor,
    cache: StaleCache,
) -> Tensor:
    """
    Run the decoder on sequences `[B, R, D]` whose slots 1 to V are visual; hidden states normed.

    mask: `[B, V]`, 1 = recomputed, with a gradient if it has one. The cache takes over what was
    mixed, detached.
    """
    llama = model.language_model.model
    bidirectional = model.config.bidirectional
    rotary = llama.rotary_emb(embeds, position_ids=positions)
    seen = decoder.attention_mask(positions, key_mask, bidirectional)
    if seen is None and not bidirectional:
        seen = positions[:, None, :, None] >= positions[:, None, None, :]
    mixing, hidden = _Mixing(mask, cache, 1), embeds
    for layer in llama.layers:
        hidden = decoder.run_layer(layer, hidden, rotary, seen, mixing)
    cache.keys, cache.values = mixing.after.keys, mixing.after.values
    return llama.norm(hidden)
