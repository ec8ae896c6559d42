# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parts of a vision transformer: patches, attention, blocks, whole or for some rows alone.

The modules carry the parameter names of timm. Knows no image and no camera's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.config import TowerConfig

EPSILON = 1e-6


@dataclass(frozen=True)
class Rows:
    """
    Say which tokens of which cameras are computed.

    counts: rows per camera, 0 where it rests. slots: of each cache, its rows `[R]` among the
    tokens of its cameras.
    """

    counts: list[int]
    slots: list[Tensor]

    @classmethod
    def of(cls, every: Tensor, cameras: Sequence[int]) -> Rows:
        """Return the rows that `every` `[cams, N]` marks, of caches with so many cameras each."""
        slots = [part.flatten().nonzero()[:, 0] for part in every.split(list(cameras))]
        return cls(every.sum(1).tolist(), slots)

    def store(self, kv: Tensor, caches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Write keys and values `[R, 2D]` into caches; return each camera's, `[N, D]` twice."""
        parts = kv.split([len(slots) for slots in self.slots])
        for cache, slots, part in zip(caches, self.slots, parts, strict=True):
            cache.index_copy_(0, slots, part)
        tokens = sum(map(len, caches)) // len(self.counts)
        for cache in caches:
            for camera in cache.split(tokens):
                yield camera.chunk(2, dim=1)


class Attention(nn.Module):
    """Attend among all tokens of one image."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, caches: Sequence[Tensor] = ()) -> Tensor:
        """Return the output `[B, N, D]`; its keys and values fill caches `[cams * N, 2D]`."""
        b, n, d = x.shape
        qkv = self.qkv(x)
        if caches:
            parts = qkv[..., d:].flatten(0, 1).split([len(cache) for cache in caches])
            for cache, part in zip(caches, parts, strict=True):
                cache.copy_(part)
        # [B, N, 3D] -> 3 x [B, heads, N, D / heads]
        q, k, v = qkv.view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(b, n, d))  # [B, N, D]

    def recompute(self, x: Tensor, rows: Rows, caches: Sequence[Tensor]) -> Tensor:
        """Return the output of rows `[R, D]`, which see all that is cached of their camera."""
        d = x.shape[1]
        q, kv = self.qkv(x).split((d, 2 * d), dim=1)
        q = q.unflatten(1, (self.heads, -1)).transpose(0, 1)  # [heads, R, width]
        parts = [
            F.scaled_dot_product_attention(
                query[None],
                *(one.unflatten(1, (self.heads, -1)).transpose(0, 1)[None] for one in seen),
            )[0]
            for query, seen in zip(
                q.split(rows.counts, dim=1), rows.store(kv, caches), strict=True
            )
            if query.shape[1]
        ]
        return self.proj(torch.cat(parts, dim=1).transpose(0, 1).flatten(1))


class Mlp(nn.Module):
    """Apply two linear layers with a GELU between them; approximate: 'none' (erf) or 'tanh'."""

    def __init__(self, dim: int, hidden: int, approximate: str = 'none') -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate=self.approximate))


class LayerScale(nn.Module):
    """Add an output, each channel scaled; the published files call the weight `scale_factor`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        return torch.addcmul(x, output, self.scale_factor)


class Residual(nn.Module):
    """Add an output as it is."""

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        return x + output


class Block(nn.Module):
    """
    Apply one pre-norm transformer block.

    film_dim: width of the language that modulates it between attention and MLP, 0: none does.
    """

    def __init__(self, config: TowerConfig, film_dim: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=EPSILON)
        self.attn = Attention(dim, config.num_heads)
        self.ls1 = LayerScale(dim) if config.layer_scale else Residual()
        self.norm2 = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = Mlp(dim, config.inner, 'tanh' if config.finished else 'none')
        self.ls2 = LayerScale(dim) if config.layer_scale else Residual()
        if film_dim:
            self.scale, self.shift = nn.Linear(film_dim, dim), nn.Linear(film_dim, dim)

    def forward(
        self, x: Tensor, caches: Sequence[Tensor] = (), film: Tensor | None = None
    ) -> Tensor:
        return self._rest(self.ls1(x, self.attn(self.norm1(x), caches)), film)

    def recompute(
        self, x: Tensor, rows: Rows, caches: Sequence[Tensor], film: Tensor | None
    ) -> Tensor:
        """Return the output of the rows `[R, D]`, attending to those and to what is cached."""
        return self._rest(self.ls1(x, self.attn.recompute(self.norm1(x), rows, caches)), film)

    def modulation(self, language: Tensor) -> Tensor:
        """Map the mean embedding of an instruction `[1, D]` to factor and offset `[2, 1, D]`."""
        return torch.stack([1 + self.scale(language), self.shift(language)])

    def _rest(self, x: Tensor, film: Tensor | None) -> Tensor:
        if film is not None:
            x = torch.addcmul(film[1], x, film[0])
        return self.ls2(x, self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Project each square patch, in raster order."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # [B, 3, H, W] -> [B, N, D]

    def some(self, images: Tensor, active: Tensor) -> Tensor:
        """Map the patches of `[cams, 3, H, W]` that `active` `[cams, N]` marks: `[R, D]`."""
        cut = (-1, self.proj.kernel_size[0])
        parts = images.unflatten(3, cut).unflatten(2, cut)
        patches = parts.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)[active]  # [R, 3, patch, patch]
        return F.linear(patches.flatten(1), self.proj.weight.flatten(1), self.proj.bias)


class AttentionPool(nn.Module):
    """Hold the weights of SigLIP's pooling head, which no VLA computes."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.latent = nn.Parameter(torch.zeros(1, 1, dim))
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = Mlp(dim, config.inner)
