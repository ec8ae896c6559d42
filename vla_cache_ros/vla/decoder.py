# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drive the layers of transformers' Llama or Gemma: with any mask, any positions and any cache.

This is the only file that depends on how transformers calls its layers. Knows nothing of slots:
it takes rows, their rotary positions and, optionally, an object that stores keys and values.
"""

from __future__ import annotations

import torch
from torch import nn
from torch import Tensor
from transformers import Cache
from transformers import GemmaConfig
from transformers import GemmaModel
from transformers import LlamaConfig
from transformers import LlamaForCausalLM
from transformers import LlamaModel
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb


class Headless(nn.Module):
    """Hold a decoder that says no tokens: a Gemma or a Llama, with plain embeddings."""

    def __init__(self, config: GemmaConfig | LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.model = (GemmaModel if isinstance(config, GemmaConfig) else LlamaModel)(config)
        # Gemma's own scales what it looks up by a factor that a meta-built model would lack
        self.model.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)


def build_language_model(config: LlamaConfig) -> LlamaForCausalLM:
    """Return a Llama with untied embeddings and fused attention."""
    return LlamaForCausalLM(config)


def rebuild_rotary(language_model: nn.Module) -> None:
    """Compute the rotary tables anew: no file holds them, so a meta-built model has none."""
    kind = type(language_model.model.rotary_emb)
    language_model.model.rotary_emb = kind(language_model.config)


def attention_mask(
    position_ids: Tensor, key_mask: Tensor | None, bidirectional: bool
) -> Tensor | None:
    """
    Return the boolean mask `[B, 1, R or 1, R]` (True = attend), or None if none is needed.

    `position_ids` is `[B, R]`; `key_mask` `[B, R]` is False at padding. A row sees a key iff the
    key is valid and, when causal, its position is not higher. None stands for "every key" when
    bidirectional and for the plain lower triangle when causal.
    """
    if key_mask is None:
        return None
    mask = key_mask[:, None, None, :]  # [B, 1, 1, R]
    if bidirectional:
        return mask
    causal = position_ids[:, None, :, None] >= position_ids[:, None, None, :]  # [B, 1, R, R]
    return mask & causal


def run_layers(
    language_model: LlamaForCausalLM,
    embeds: Tensor,
    position_ids: Tensor,
    mask: Tensor | None,
    causal: bool,
) -> Tensor:
    """
    Run every layer and the final norm on rows `[B, R, D]`; returns the hidden states.

    `position_ids` is `[B, R]` or `[1, R]`; with `mask` None and `causal` the rows must stand in
    ascending order.
    """
    model = language_model.model
    rotary = model.rotary_emb(embeds, position_ids=position_ids)
    hidden = embeds
    for layer in model.layers:
        hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary, is_causal=causal)
    return model.norm(hidden)


def run_layer(
    layer: nn.Module,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    mask: Tensor | None,
    cache: Cache,
) -> Tensor:
    """
    Run one decoder layer on rows `[B, R, D]` against a cache that stores and returns K and V.

    rotary: cosines and sines `[B, R, head_dim]` of the rows' positions. mask: `[B, 1, R or 1, L]`,
    added to the scores of the L visible slots, or boolean; None when every row sees all.
    """
    return layer(
        hidden,
        attention_mask=mask,
        position_embeddings=rotary,
        past_key_values=cache,
        is_causal=False,
    )


def write_keys(
    layer: nn.Module, hidden: Tensor, rotary: tuple[Tensor, Tensor], index: int, cache: Cache
) -> None:
    """Give a cache a layer's keys and values of rows `[B, R, D]`, and compute nothing more."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    key, value = (
        project(normed).unflatten(2, (-1, attention.head_dim)).transpose(1, 2)
        for project in (attention.k_proj, attention.v_proj)
    )
    key, _ = apply_rotary_pos_emb(key, key, *rotary)
    cache.update(key, value, index)


def attention_weights(
    layer: nn.Module,
    hidden: Tensor,
    rotary: tuple[Tensor, Tensor],
    mask: Tensor | None,
    keys: Tensor,
) -> Tensor:
    """
    Return the attention `[B, heads, T, L]` in float32 that rows `[B, T, D]` pay to cached keys.

    Fused attention keeps no weights, so they are computed again, for these rows only. hidden: the
    rows as they entered the layer. keys: `[B, key heads, L, head_dim]`, already rotated.
    """
    attention = layer.self_attn
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    query = attention.q_proj(layer.input_layernorm(hidden)).view(shape).transpose(1, 2)
    query, _ = apply_rotary_pos_emb(query, query, *rotary)
    keys = keys.repeat_interleave(attention.num_key_value_groups, dim=1)
    scores = (query @ keys.transpose(2, 3)).float() * attention.scaling  # [B, heads, T, L]
    if mask is not None:
        scores = scores + mask
    return scores.softmax(-1)


def logits(language_model: LlamaForCausalLM, hidden: Tensor) -> Tensor:
    """Map normed hidden states `[..., D]` to logits `[..., vocabulary]` in float32."""
    return language_model.lm_head(hidden).to(torch.float32)
