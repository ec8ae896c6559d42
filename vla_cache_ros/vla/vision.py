# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn preprocessed images into patch features with DINOv2 and SigLIP vision transformers.

The modules carry the parameter names of the published checkpoints. Features leave from the last
block but one, without the final norm, as the checkpoints were trained; the parts after that exist
because the files hold them, and are never computed. Knows nothing of cameras' names or of time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.config import IMAGE_SIZE
from vla_cache_ros.vla.config import PATCH
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.config import TowerConfig

_EPS = 1e-6


class _Attention(nn.Module):
    """Attend among all tokens of one image."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        # [B, N, 3D] -> 3 x [B, heads, N, D / heads]
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(b, n, d))  # [B, N, D]

    def some(self, x: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """Return the output of some rows of each image `[rows, D]`; all of them are keys."""
        d, width = x.shape[2], x.shape[2] // self.heads
        weight, bias = self.qkv.weight, self.qkv.bias
        chosen = torch.cat([x[i, r] for i, r in enumerate(rows)])
        q = F.linear(chosen, weight[:d], bias[:d]).unflatten(1, (self.heads, width))
        kv = F.linear(x, weight[d:], bias[d:]).unflatten(2, (2, self.heads, width))
        k, v = kv.permute(2, 0, 3, 1, 4)  # 2 x [B, heads, N, width]
        parts = [
            F.scaled_dot_product_attention(queries.transpose(0, 1), k[i], v[i]).transpose(0, 1)
            for i, queries in enumerate(q.split([len(r) for r in rows]))
        ]
        return self.proj(torch.cat(parts).flatten(1))


class _Mlp(nn.Module):
    """Apply two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _LayerScale(nn.Module):
    """Scale each channel; the published files call the weight `scale_factor`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale_factor


class _Block(nn.Module):
    """Apply one pre-norm transformer block."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = _Attention(dim, config.num_heads)
        self.ls1 = _LayerScale(dim) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = _Mlp(dim, int(dim * config.mlp_ratio))
        self.ls2 = _LayerScale(dim) if config.layer_scale else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))

    def some(self, x: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """Return the output of some rows of each image, `[rows, D]`."""
        kept = torch.cat([x[i, r] for i, r in enumerate(rows)])
        kept = kept + self.ls1(self.attn.some(self.norm1(x), rows))
        return kept + self.ls2(self.mlp(self.norm2(kept)))


class _PatchEmbed(nn.Module):
    """Project each 14 x 14 patch, in raster order."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # [B, 3, 224, 224] -> [B, 256, D]


class _AttentionPool(nn.Module):
    """Hold the weights of SigLIP's pooling head, which no VLA computes."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.latent = nn.Parameter(torch.zeros(1, 1, dim))
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = _Mlp(dim, int(dim * config.mlp_ratio))


class VisionTower(nn.Module):
    """Map images `[B, 3, 224, 224]` to patch features `[B, 256, embed_dim]`."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.prefix_tokens = config.prefix_tokens
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if config.reg_tokens:
            self.reg_token = nn.Parameter(torch.zeros(1, config.reg_tokens, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, PATCHES_PER_IMAGE, dim))
        self.patch_embed = _PatchEmbed(dim)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        if config.attention_pool:
            self.attn_pool = _AttentionPool(config)

    def forward(self, images: Tensor, rows: Sequence[Tensor] | None = None) -> Tensor:
        """
        Return all features `[B, 256, embed_dim]`, or of each image some rows `[N, embed_dim]`.

        The last block needs every token's keys and values, but the rest of it only for the rows.
        """
        x = self.patch_embed(images) + self.pos_embed
        if self.prefix_tokens:
            names = ('cls_token', 'reg_token')
            prefix = [getattr(self, n).expand(len(x), -1, -1) for n in names if hasattr(self, n)]
            x = torch.cat([*prefix, x], dim=1)  # [B, prefix + 256, D]
        *blocks, last = self.blocks[:-1]
        for block in blocks:
            x = block(x)
        if rows is None:
            return last(x)[:, self.prefix_tokens :]
        return last.some(x, [r + self.prefix_tokens for r in rows])


class VisionBackbone(nn.Module):
    """Run one tower, or two whose features are concatenated, on every camera's image."""

    def __init__(self, towers: tuple[TowerConfig, ...]) -> None:
        super().__init__()
        self.channels = 3 * len(towers)
        self.featurizer = VisionTower(towers[0])
        if len(towers) == 2:
            self.fused_featurizer = VisionTower(towers[1])

    def towers(self) -> list[VisionTower]:
        """Return the towers in the order of their channels."""
        fused = [self.fused_featurizer] if self.channels == 6 else []
        return [self.featurizer, *fused]

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map `[B, cams * channels, 224, 224]` to `[B, cams * 256, V]`, camera after camera."""
        b, c = pixel_values.shape[:2]
        cams = c // self.channels
        x = pixel_values.reshape(b * cams, self.channels, IMAGE_SIZE, IMAGE_SIZE)
        return self._run(x).reshape(b, cams * PATCHES_PER_IMAGE, -1)

    def some(self, images: Tensor, rows: Sequence[Tensor]) -> Tensor:
        """Map one image a camera `[cams, channels, 224, 224]` to the features `[N, V]` of rows."""
        return self._run(images, rows)

    def _run(self, x: Tensor, rows: Sequence[Tensor] | None = None) -> Tensor:
        parts = [tower(x[:, 3 * i : 3 * i + 3], rows) for i, tower in enumerate(self.towers())]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
