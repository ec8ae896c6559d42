# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A second, slow decoder with a cache: numpy, row by row, written from the equations."""

import numpy as np


class NaiveDecoder:
    """
    Recompute rows of a sequence against cached keys and values, in the reference's order.

    Slot number and rotary position are the same here. `keys` and `values` are
    `[layers][heads, length, head_dim]`.
    """

    def __init__(self, model, length, causal):
        llama = model.language_model
        self.config, self.causal, self.length = llama.config, causal, length
        self.state = {
            name.removeprefix('model.'): tensor.double().numpy()
            for name, tensor in llama.state_dict().items()
        }
        heads = self.config.num_attention_heads
        self.head_dim = self.config.hidden_size // heads
        shape = (self.config.num_hidden_layers, heads, length, self.head_dim)
        self.keys, self.values = np.zeros(shape), np.zeros(shape)

    def norm(self, x, name):
        scale = np.sqrt((x * x).mean(-1, keepdims=True) + self.config.rms_norm_eps)
        return x / scale * self.state[f'{name}.weight']

    def linear(self, x, name):
        return x @ self.state[f'{name}.weight'].T

    def heads(self, x):
        return x.reshape(len(x), -1, self.head_dim).transpose(1, 0, 2)  # [heads, R, head_dim]

    def rotate(self, x, positions):
        """Rotate `[heads, R, head_dim]` by positions; pairs are halves, as in Llama's port."""
        half = self.head_dim // 2
        angle = np.outer(positions, 10000.0 ** (-np.arange(half) / half))  # [R, half]
        a, b = x[..., :half], x[..., half:]
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    def run(self, embeds, positions, keep_from=None):
        """
        Recompute the rows `positions` from `embeds` `[R, D]`; return {position: hidden [D]}.

        keep_from: {layer: set of positions that stay active from there on}. `self.attention`
        keeps each row's weights, {(layer, position): [heads, length]}.
        """
        hidden, rows = embeds.astype(np.float64), list(positions)
        self.attention = {}
        for layer in range(self.config.num_hidden_layers):
            if keep_from and layer in keep_from:
                kept = [i for i, p in enumerate(rows) if p in keep_from[layer]]
                hidden, rows = hidden[kept], [rows[i] for i in kept]
            name = f'layers.{layer}'
            x = self.norm(hidden, f'{name}.input_layernorm')
            q, k, v = (self.heads(self.linear(x, f'{name}.self_attn.{n}_proj')) for n in 'qkv')
            queries = self.rotate(q, rows)
            self.keys[layer][:, rows] = self.rotate(k, rows)
            self.values[layer][:, rows] = v
            mixed = np.zeros_like(hidden)
            for i, p in enumerate(rows):
                seen = p + 1 if self.causal else self.length
                keys, values = self.keys[layer][:, :seen], self.values[layer][:, :seen]
                scores = (keys @ queries[:, i, :, None])[..., 0] / np.sqrt(self.head_dim)
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                weights /= weights.sum(-1, keepdims=True)  # [heads, seen]
                self.attention[layer, p] = np.pad(weights, ((0, 0), (0, self.length - seen)))
                mixed[i] = (weights[:, None] @ values).reshape(-1)
            hidden = hidden + self.linear(mixed, f'{name}.self_attn.o_proj')
            x = self.norm(hidden, f'{name}.post_attention_layernorm')
            gate = self.linear(x, f'{name}.mlp.gate_proj')
            inner = gate / (1 + np.exp(-gate)) * self.linear(x, f'{name}.mlp.up_proj')
            hidden = hidden + self.linear(inner, f'{name}.mlp.down_proj')
        return dict(zip(rows, self.norm(hidden, 'norm'), strict=True))
