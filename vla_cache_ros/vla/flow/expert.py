# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The action expert of SmolVLA, pi0 and pi0.5: velocities of a chunk, given the prefix's keys.

Batched, differentiable and plain: what training and the reference checks call, and what holds the
weights under LeRobot's names. `sampler.py` computes the same quickly. Knows no slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
import math

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from transformers import GemmaConfig
from transformers import LlamaConfig
from transformers.models.gemma.modeling_gemma import GemmaDecoderLayer
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.llama.modeling_llama import LlamaDecoderLayer
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from vla_cache_ros.vla.flow.config import FlowConfig


@dataclass
class Memory:
    """
    Hold what an expert reads of the prefix.

    keys, values: of each layer `[B, kv heads, L, head_dim]`, rotated. crossed: layer -> keys and
    values after a crossed layer's projections. mask: `[B or 1, 1, 1, L]`, added to the scores,
    None where every slot is seen. cos, sin: of the expert's rows, which stand behind the prefix
    `[B or 1, rows, head_dim]`.
    """

    keys: list[Tensor]
    values: list[Tensor]
    cos: Tensor
    sin: Tensor
    mask: Tensor | None = None
    crossed: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)


class AdaptiveNorm(nn.Module):
    """Hold what makes of a condition `[..., D]` the factor, offset and gate of a norm (adaRMS)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width, 3 * width)
        self.variance_epsilon = epsilon

    def modulation(self, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return factor, offset and gate, `[..., D]` each."""
        scale, shift, gate = self.dense(condition).chunk(3, dim=-1)
        return 1 + scale, shift, gate


class FlowExpert(nn.Module):
    """
    Map a noisy chunk, a time and the prefix's memory to the chunk's velocity.

    rows: of the expert: the actions, and pi0's state before them.
    """

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        kind, text, norm = LlamaDecoderLayer, LlamaConfig, LlamaRMSNorm
        if not config.smolvla:
            kind, text, norm = GemmaDecoderLayer, GemmaConfig, GemmaRMSNorm
        sizes = text(
            hidden_size=width,
            intermediate_size=config.inner,
            num_hidden_layers=config.depth,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            hidden_act='silu' if config.smolvla else 'gelu_pytorch_tanh',
            rms_norm_eps=1e-5 if config.smolvla else 1e-6,
            attn_implementation='sdpa',
        )
        self.layers = nn.ModuleList(kind(sizes, index) for index in range(config.depth))
        self.norm = norm(width, sizes.rms_norm_eps)
        keys = config.kv_heads * config.head_dim
        for index, layer in enumerate(self.layers):
            if config.adaptive:
                layer.input_layernorm = AdaptiveNorm(width, sizes.rms_norm_eps)
                layer.post_attention_layernorm = AdaptiveNorm(width, sizes.rms_norm_eps)
            if config.crossed(index):
                layer.self_attn.k_proj = nn.Linear(keys, keys, bias=False)
                layer.self_attn.v_proj = nn.Linear(keys, keys, bias=False)
        if config.adaptive:
            self.norm = AdaptiveNorm(width, sizes.rms_norm_eps)
        self.action_in_proj = nn.Linear(config.action_size, width)
        self.action_out_proj = nn.Linear(width, config.action_size)
        self.time_mlp_in = nn.Linear(width if config.adaptive else 2 * width, width)
        self.time_mlp_out = nn.Linear(width, width)
        if config.state_row:
            self.state_proj = nn.Linear(config.state_size, width)

    @property
    def rows(self) -> int:
        """Return the rows of the expert: the actions, and pi0's state before them."""
        return self.config.chunk + int(self.config.state_row)

    def noise(self, seed: int, step: int) -> Tensor:
        """Draw what a chunk is denoised from, `[C, action_size]`, for a step of an episode."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return torch.randn(self.config.chunk, self.config.action_size, generator=generator)

    def time_embedding(self, times: Tensor) -> Tensor:
        """Map times `[B]` in [0, 1] to `[B, width]` float32."""
        config = self.config
        fraction = torch.linspace(
            0, 1, config.width // 2, dtype=torch.float64, device=times.device
        )
        period = config.min_period * (config.max_period / config.min_period) ** fraction
        angle = 2 * math.pi * times.double()[:, None] / period
        return torch.cat([angle.sin(), angle.cos()], dim=1).float()

    def condition(self, times: Tensor) -> Tensor | None:
        """Return what modulates the norms at times `[B]`, `[B, width]`; None where none is."""
        if not self.config.adaptive:
            return None
        wide = self.time_embedding(times).to(self.time_mlp_in.weight.dtype)
        return F.silu(self.time_mlp_out(F.silu(self.time_mlp_in(wide))))

    def embed(self, x: Tensor, times: Tensor) -> Tensor:
        """Map a noisy chunk `[B, C, action_size]` at times `[B]` to rows `[B, C, width]`."""
        rows = self.action_in_proj(x.to(self.action_in_proj.weight.dtype))
        if self.config.adaptive:
            return rows
        time = self.time_embedding(times).to(rows.dtype)[:, None].expand_as(rows)
        return self.time_mlp_out(F.silu(self.time_mlp_in(torch.cat([rows, time], dim=2))))

    def cross(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map the prefix's keys and values `[B, kv, R, head_dim]` to a crossed layer's own."""
        attention = self.layers[layer].self_attn
        return tuple(
            project(one.transpose(1, 2).flatten(2))
            .unflatten(2, (one.shape[1], -1))
            .transpose(1, 2)
            for project, one in ((attention.k_proj, keys), (attention.v_proj, values))
        )

    def velocity(
        self, x: Tensor, times: Tensor, memory: Memory, state: Tensor | None = None
    ) -> Tensor:
        """
        Return the velocity `[B, C, action_size]` float32 of a noisy chunk of that shape.

        times: `[B]`. memory: of B prefixes. state: normalised and padded `[B, state_size]`, which
        pi0 takes here.
        """
        hidden, condition = self.embed(x, times), self.condition(times)
        if self.config.state_row:
            first = self.state_proj(state.to(self.state_proj.weight.dtype))
            hidden = torch.cat([first[:, None], hidden], dim=1)
        hidden = hidden.to(memory.keys[0].dtype)
        mask = self.mask(memory.mask, memory.keys[0].shape[2], hidden)
        for index in range(len(self.layers)):
            hidden = self._layer(index, hidden, condition, memory, mask)
        hidden = self._norm(self.norm, hidden, condition)[0][:, -self.config.chunk :]
        return self.action_out_proj(hidden.to(self.action_out_proj.weight.dtype)).float()

    def mask(self, unseen: Tensor | None, prefix: int, like: Tensor) -> Tensor | None:
        """
        Return what is added to the scores of the expert's rows, `[B or 1, 1, rows, L + rows]`.

        unseen: the memory's mask. prefix: L. None where every row sees everything.
        """
        rows, config = self.rows, self.config
        own = like.new_zeros(rows, rows)
        if config.smolvla:
            own.masked_fill_(torch.ones_like(own, dtype=torch.bool).triu(1), -torch.inf)
        elif config.state_row:
            own[0, 1:] = -torch.inf
        elif unseen is None:
            return None
        seen = like.new_zeros(1, 1, 1, prefix) if unseen is None else unseen.to(like.dtype)
        return torch.cat([seen.expand(-1, 1, rows, -1), own.expand(len(seen), 1, -1, -1)], dim=3)

    def _layer(
        self,
        index: int,
        hidden: Tensor,
        condition: Tensor | None,
        memory: Memory,
        mask: Tensor | None,
    ) -> Tensor:
        layer, attention = self.layers[index], self.layers[index].self_attn
        normed, gate = self._norm(layer.input_layernorm, hidden, condition)
        query = self._heads(attention.q_proj(normed))
        cos, sin = memory.cos, memory.sin
        if self.config.crossed(index):
            cos, sin = self.own_rotary(cos, sin)
            query, _ = apply_rotary_pos_emb(query, query, cos, sin)
            keys, values = memory.crossed[index]
            seen = memory.mask
        else:
            own = self._heads(attention.k_proj(normed)), self._heads(attention.v_proj(normed))
            query, key = apply_rotary_pos_emb(query, own[0], cos, sin)
            keys = torch.cat([memory.keys[index], key], dim=2)
            values = torch.cat([memory.values[index], own[1]], dim=2)
            seen = mask
        attended = F.scaled_dot_product_attention(
            query, keys, values, attn_mask=seen, scale=attention.scaling, enable_gqa=True
        )
        out = attention.o_proj(attended.transpose(1, 2).flatten(2))
        hidden = hidden + (out if gate is None else gate * out)
        normed, gate = self._norm(layer.post_attention_layernorm, hidden, condition)
        out = layer.mlp(normed)
        return hidden + (out if gate is None else gate * out)

    def own_rotary(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tables of positions 0, 1, ... in the form of those given."""
        half = self.config.head_dim // 2
        steps = torch.arange(cos.shape[1], dtype=torch.float32, device=cos.device)
        powers = torch.arange(half, dtype=torch.float32, device=cos.device) / half
        angle = (steps[:, None] / 10000.0**powers).repeat(1, 2)[None]  # [1, rows, head_dim]
        return angle.cos().to(cos), angle.sin().to(sin)

    def _heads(self, rows: Tensor) -> Tensor:
        return rows.unflatten(2, (-1, self.config.head_dim)).transpose(1, 2)

    def _norm(
        self, norm: nn.Module, hidden: Tensor, condition: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return normed rows `[B, rows, D]` and what gates the branch, None without a gate."""
        if condition is None:
            return norm(hidden), None
        scale, shift, gate = (one[:, None] for one in norm.modulation(condition))
        wide = hidden.float()
        wide = wide * (wide.square().mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()
        return (wide * scale + shift).to(hidden.dtype), gate.to(hidden.dtype)
