# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run layers of Llama or Gemma in few kernels: the mathematics of transformers' in half the calls.

Query, key and value are one product, gate and up another; residuals are added by the product that
makes them; rotation and norm are a few passes. The weights stay where they are: transformers'
modules become views of the joined ones. Knows rows, keys and values, nothing of slots.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from transformers.activations import SiLUActivation
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise
from vla_cache_ros.vla.quantized import linear
from vla_cache_ros.vla.quantized import Quantized
from vla_cache_ros.vla.quantized import Weight
from vla_cache_ros.vla.quantized import weight_of


@dataclass(frozen=True)
class Seen:
    """
    Hold what some of the rows see: those of B sequences that have equally many each.

    rows: their number, which follow those of the `Seen` before. keys, values: `[B, heads, L,
    head_dim]`. mask: `[B or 1, 1, R or 1, L]`, added to the scores, None when every row sees all.
    """

    rows: int
    keys: Tensor
    values: Tensor
    mask: Tensor | None


Exchange = Callable[[Tensor, Tensor], Sequence[Seen]]


class FusedLayer:
    """Run one decoder layer; shares the weights of the module that it is made from."""

    def __init__(self, layer: nn.Module, pointwise: Pointwise = PLAIN) -> None:
        self._do = pointwise
        attention, mlp = layer.self_attn, layer.mlp
        projections = [attention.q_proj, attention.k_proj, attention.v_proj]
        # a crossed layer's keys and values are not made of its rows
        own = attention.k_proj.weight.shape[1] == attention.q_proj.weight.shape[1]
        self.qkv = join(projections if own else projections[:1])
        self.gate_up = join([mlp.gate_proj, mlp.up_proj])
        self.out, self.down = weight_of(attention.o_proj), weight_of(mlp.down_proj)
        self.norms = [
            norm_of(norm) for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        ]
        silu = isinstance(mlp.act_fn, nn.SiLU | SiLUActivation)
        self._activate = pointwise.gate if silu else pointwise.gelu_gate
        self.head_dim = attention.head_dim
        self.queries = len(attention.q_proj.weight) // self.head_dim  # heads
        self.keys = len(attention.k_proj.weight) // self.head_dim
        self.scale = attention.scaling

    def __call__(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        exchange: Exchange,
        read: Tensor | slice | None = None,
        modulation: Tensor | None = None,
    ) -> Tensor:
        """
        Return the output `[R, D]` of rows `[R, D]`, or of those that `read` picks: `[r]`, a slice.

        rotary: cosines and signed sines `[R, 1, head_dim]`, see `signed_rotary`. exchange: takes
        the rows' keys and values `[1, heads, R, head_dim]`, returns what those that are read
        attend to, in their order. Rows that are not read need keys and values only: in the last
        layer that is all most of them need.
        modulation: factor, offset and gate `[2, 3, D]` of either norm, where those adapt.
        """
        normed = self._norm(0, hidden, modulation)
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
        values = values.unflatten(1, (-1, self.head_dim))
        seen = exchange(key.transpose(0, 1)[None], values.transpose(0, 1)[None])
        if not len(query):
            return hidden
        return self._finish(hidden, query, seen, modulation)

    def cross(
        self,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        seen: Sequence[Seen],
    ) -> Tensor:
        """Return the output of rows `[R, D]` that do not see each other."""
        queries = linear(self._norm(0, hidden, None), self.qkv[: self.queries * self.head_dim])
        query = self._do.rotate(queries.unflatten(1, (-1, self.head_dim)), *rotary)
        return self._finish(hidden, query, seen, None)

    def _finish(
        self,
        hidden: Tensor,
        query: Tensor,
        seen: Sequence[Seen],
        modulation: Tensor | None,
    ) -> Tensor:
        """Attend with queries `[r, heads, head_dim]`, then run the MLP."""
        parts = zip(query.split([one.rows for one in seen]), seen, strict=True)
        attended = [self._attend(rows, one) for rows, one in parts]
        attended = attended[0] if len(attended) == 1 else torch.cat(attended)  # [r, D]
        hidden = _add(hidden, attended, self.out, modulation, 0)
        joined = linear(self._norm(1, hidden, modulation), self.gate_up)
        return _add(hidden, self._activate(joined), self.down, modulation, 1)

    def _attend(self, query: Tensor, seen: Seen) -> Tensor:
        attended = F.scaled_dot_product_attention(
            query.unflatten(0, (len(seen.keys), -1)).transpose(1, 2),  # [B, heads, r, head_dim]
            seen.keys,
            seen.values,
            attn_mask=seen.mask,
            scale=self.scale,
            enable_gqa=self.queries != self.keys,
        )
        return attended.transpose(1, 2).flatten(0, 1).flatten(1)

    @property
    def like(self) -> Tensor:
        """Return a tensor of the device and the type that the layer computes in."""
        weight = self.out.scale if isinstance(self.out, Quantized) else self.out
        return weight.detach()

    def _norm(self, which: int, hidden: Tensor, modulation: Tensor | None) -> Tensor:
        weight, epsilon = self.norms[which]
        if modulation is None:
            return self._do.rms_norm(hidden, weight, epsilon)
        scale, shift, _ = modulation[which]
        return self._do.rms_norm(hidden, scale, epsilon).add_(shift)


def _add(
    hidden: Tensor, rows: Tensor, weight: Weight, modulation: Tensor | None, which: int
) -> Tensor:
    """Return rows times a weight, gated where there is a modulation, added to `hidden`."""
    if modulation is None:
        return linear(rows, weight, hidden)
    return torch.addcmul(hidden, linear(rows, weight), modulation[which, 2])


def norm_of(norm: nn.Module) -> tuple[Tensor | None, float]:
    """Return the factor `[D]` and the epsilon of an RMS norm; None for one that adapts."""
    if isinstance(norm, GemmaRMSNorm):
        return (norm.weight.detach().float() + 1).to(norm.weight.dtype), norm.eps
    weight = getattr(norm, 'weight', None)
    return None if weight is None else weight.detach(), norm.variance_epsilon


def fuse(language_model: nn.Module, pointwise: Pointwise = PLAIN) -> list[FusedLayer]:
    """
    Return a decoder's fused layers; the second call for a model gives the same weights again.

    Raises CheckpointError for layers of another make: with biases, or not with SiLU or tanh GELU.
    """
    config = language_model.config
    biased = config.attention_bias or getattr(config, 'mlp_bias', False)
    if biased or config.hidden_act not in ('silu', 'gelu_pytorch_tanh'):
        raise CheckpointError(
            'text_config: expected a decoder without biases and with silu or gelu_pytorch_tanh, '
            f'found attention_bias {config.attention_bias}, mlp_bias '
            f'{getattr(config, "mlp_bias", False)}, hidden_act '
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
