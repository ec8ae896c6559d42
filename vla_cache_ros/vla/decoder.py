# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drive the layers of transformers' Llama directly: with any mask, any positions and any cache.

This is the only file that depends on how transformers calls its layers. Knows nothing of slots:
it takes rows, their rotary positions and, optionally, an object that stores keys and values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaConfig
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding


def build_language_model(config: LlamaConfig) -> LlamaForCausalLM:
    """Return a Llama with untied embeddings and fused attention."""
    return LlamaForCausalLM(config)


def rebuild_rotary(language_model: LlamaForCausalLM) -> None:
    """Compute the rotary tables anew: no file holds them, so a meta-built model has none."""
    language_model.model.rotary_emb = LlamaRotaryEmbedding(language_model.config)


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


def logits(language_model: LlamaForCausalLM, hidden: Tensor) -> Tensor:
    """Map normed hidden states `[..., D]` to logits `[..., vocabulary]` in float32."""
    return language_model.lm_head(hidden).to(torch.float32)
