# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run Llama's layers in few kernels: the same mathematics as transformers', in half the calls.

Query, key and value are one product, gate and up another; residuals are added by the product that
makes them; rotation and norm are a few passes. The weights stay where they are: transformers'
modules become views of the joined ones. Knows rows, keys and values, nothing of slots.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from transformers import LlamaForCausalLM
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise
from vla_cache_ros.vla.quantized import linear
from vla_cache_ros.vla.quantized import Quantized
from vla_cache_ros.vla.quantized import Weight
from vla_cache_ros.vla.quantized import weight_of

Exchange = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class FusedLayer:
    """Run one decoder layer; shares the weights of the module that it is made from."""

    def __init__(self, layer: nn.Module, pointwise: Pointwise = PLAIN) -> None:
        self._do = pointwise
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        self.qkv = join(projections)
        self.gate_up = join([mlp.gate_proj, mlp.up_proj])
        self.out, self.down = weight_of(attention.o_proj), weight_of(mlp.down_proj)
        self.norms = [
            (norm.weight.detach(), norm.variance_epsilon)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        ]
        self.head_dim = attention.head_dim
        self.queries = len(attention.q_proj.weight) // self.head_dim  # heads
        self.keys = len(attention.k_proj.weight) // self.head_dim
        self.scale = attention.scaling

    def __call__(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
        exchange: Exchange,
        read: Tensor | slice | None = None,
    ) -> Tensor:
        """
        Return the output `[R, D]` of rows `[R, D]`, or of those that `read` picks: `[r]`, a slice.

        rotary: cosines and signed sines `[R, 1, head_dim]`, see `signed_rotary`. mask:
        `[1, 1, R or 1, L]`, added to the scores, None when every row sees all. exchange: takes
        the rows' keys and values `[1, heads, R, head_dim]`, returns those to attend to. Rows that
        are not read need keys and values only: in the last layer that is all most of them need.
        """
        normed = self._do.rms_norm(hidden, *self.norms[0])
        queries = self.queries * self.head_dim
        if read is None:
            joined = linear(normed, self.qkv)
            values = joined[:, queries + self.keys * self.head_dim :]
            turned = joined[:, : queries + self.keys * self.head_dim]
            turned = self._do.rotate(turned.unflatten(1, (-1, self.head_dim)), *rotary)
            query, key = turned.split((self.queries, self.keys), dim=1)  # [R, heads, head_dim]
        else:
            joined = linear(normed, self.qkv[queries:])
            key, values = joined.chunk(2, dim=1)
            key = self._do.rotate(key.unflatten(1, (-1, self.head_dim)), *rotary)
            query = linear(normed[read], self.qkv[:queries])
            query = query.unflatten(1, (-1, self.head_dim))
            query = self._do.rotate(query, *(table[read] for table in rotary))
            hidden = hidden[read]
            if mask is not None and mask.shape[2] > 1:
                mask = mask[:, :, read]
        values = values.unflatten(1, (-1, self.head_dim))
        seen = exchange(key.transpose(0, 1)[None], values.transpose(0, 1)[None])
        attended = F.scaled_dot_product_attention(
            query.transpose(0, 1)[None],
            *seen,
            attn_mask=mask,
            scale=self.scale,
            enable_gqa=self.queries != self.keys,
        )
        attended = attended[0].transpose(0, 1).flatten(1)  # [r, D]
        hidden = linear(attended, self.out, hidden)
        joined = linear(self._do.rms_norm(hidden, *self.norms[1]), self.gate_up)
        return linear(self._do.gate(joined), self.down, hidden)


def fuse(language_model: LlamaForCausalLM, pointwise: Pointwise = PLAIN) -> list[FusedLayer]:
    """
    Return the fused layers of a Llama; the second call for a model gives the same weights again.

    Raises CheckpointError for a Llama of another make: with biases, or not with SiLU.
    """
    config = language_model.config
    if config.attention_bias or config.mlp_bias or config.hidden_act != 'silu':
        raise CheckpointError(
            'text_config: expected a Llama without biases and with silu, found '
            f'attention_bias {config.attention_bias}, mlp_bias {config.mlp_bias}, hidden_act '
            f'{config.hidden_act!r}; run it with capture=False'
        )
    return [FusedLayer(layer, pointwise) for layer in language_model.model.layers]


def join(modules: Sequence[nn.Module]) -> Weight:
    """Return the weights of linear modules below each other; see `join_rows`."""
    weights = [weight_of(module) for module in modules]
    if isinstance(weights[0], Quantized):
        return Quantized(
            join_rows([weight.values for weight in weights]),
            join_rows([weight.scale for weight in weights]),
        )
    return join_rows(weights)


def join_rows(weights: Sequence[nn.Parameter]) -> Tensor:
    """
    Return weights `[*, D]`, or `[*]`, below each other as one tensor, and make them views of it.

    Weights that already lie so are not copied: two engines of one model share one copy.
    """
    first, rows = weights[0], sum(map(len, weights))
    end = first.data_ptr()
    for weight in weights:
        if weight.data_ptr() != end or not weight.is_contiguous():
            break
        end += weight.nbytes
    else:
        storage = first.untyped_storage()
        if end <= storage.data_ptr() + storage.nbytes():
            return first.data.as_strided((rows, *first.shape[1:]), first.stride())
    joined = torch.cat([weight.data for weight in weights])
    for weight, part in zip(weights, joined.split([*map(len, weights)]), strict=True):
        weight.data = part
    return joined


def signed_rotary(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Return rotary tables `[L, head_dim]` for `rotate`, `[L, 1, head_dim]` each."""
    half = sin.shape[1] // 2
    return cos[:, None], torch.cat([-sin[:, :half], sin[:, half:]], dim=1)[:, None]
