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
from dataclasses import dataclass

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.config import IMAGE_SIZE
from vla_cache_ros.vla.config import PATCH
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.config import TowerConfig

_EPS = 1e-6


@dataclass(frozen=True)
class Rows:
    """
    Say which tokens of which camera are computed.

    slots: `[R]` among the tokens of all cameras. counts: rows per camera, 0 where it rests.
    """

    slots: Tensor
    counts: list[int]
    cameras: int


class _Attention(nn.Module):
    """Attend among all tokens of one image."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, cache: Tensor | None = None) -> Tensor:
        b, n, d = x.shape
        qkv = self.qkv(x)
        if cache is not None:
            cache.view(b, n, 2 * d).copy_(qkv[..., d:])
        # [B, N, 3D] -> 3 x [B, heads, N, D / heads]
        q, k, v = qkv.view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(b, n, d))  # [B, N, D]

    def recompute(self, x: Tensor, rows: Rows, cache: Tensor) -> Tensor:
        """Write the rows' keys and values into `[cams * N, 2D]`; attend to all `[R, D]`."""
        d = x.shape[1]
        q, kv = self.qkv(x).split((d, 2 * d), dim=1)
        cache.index_copy_(0, rows.slots, kv)
        k, v = cache.view(rows.cameras, -1, 2, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        q = q.unflatten(1, (self.heads, -1)).transpose(0, 1)  # [heads, R, width]
        parts = [
            F.scaled_dot_product_attention(query[None], k[c, None], v[c, None])[0]
            for c, query in enumerate(q.split(rows.counts, dim=1))
            if query.shape[1]
        ]
        return self.proj(torch.cat(parts, dim=1).transpose(0, 1).flatten(1))


class _Mlp(nn.Module):
    """Apply two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class _LayerScale(nn.Module):
    """Add an output, each channel scaled; the published files call the weight `scale_factor`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale_factor = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        return torch.addcmul(x, output, self.scale_factor)


class _Residual(nn.Module):
    """Add an output as it is."""

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        return x + output


class _Block(nn.Module):
    """
    Apply one pre-norm transformer block.

    film_dim: width of the language that modulates it between attention and MLP, 0: none does.
    """

    def __init__(self, config: TowerConfig, film_dim: int) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=_EPS)
        self.attn = _Attention(dim, config.num_heads)
        self.ls1 = _LayerScale(dim) if config.layer_scale else _Residual()
        self.norm2 = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = _Mlp(dim, int(dim * config.mlp_ratio))
        self.ls2 = _LayerScale(dim) if config.layer_scale else _Residual()
        if film_dim:
            self.scale, self.shift = nn.Linear(film_dim, dim), nn.Linear(film_dim, dim)

    def forward(
        self, x: Tensor, cache: Tensor | None = None, film: Tensor | None = None
    ) -> Tensor:
        return self._rest(self.ls1(x, self.attn(self.norm1(x), cache)), film)

    def recompute(self, x: Tensor, rows: Rows, cache: Tensor, film: Tensor | None) -> Tensor:
        """Return the output of the rows `[R, D]`, attending to those and to what is cached."""
        return self._rest(self.ls1(x, self.attn.recompute(self.norm1(x), rows, cache)), film)

    def modulation(self, language: Tensor) -> Tensor:
        """Map the mean embedding of an instruction `[1, D]` to factor and offset `[2, 1, D]`."""
        return torch.stack([1 + self.scale(language), self.shift(language)])

    def _rest(self, x: Tensor, film: Tensor | None) -> Tensor:
        if film is not None:
            x = torch.addcmul(film[1], x, film[0])
        return self.ls2(x, self.mlp(self.norm2(x)))


class _PatchEmbed(nn.Module):
    """Project each 14 x 14 patch, in raster order."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)  # [B, 3, 224, 224] -> [B, 256, D]

    def some(self, images: Tensor, active: Tensor) -> Tensor:
        """Map the patches of `[cams, 3, 224, 224]` that `active` `[cams, 256]` marks: `[R, D]`."""
        side = IMAGE_SIZE // PATCH
        cut = images.unflatten(3, (side, PATCH)).unflatten(2, (side, PATCH))
        patches = cut.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)[active]  # [R, 3, 14, 14]
        return F.linear(patches.flatten(1), self.proj.weight.flatten(1), self.proj.bias)


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
    """
    Map images `[B, 3, 224, 224]` to patch features `[B, 256, embed_dim]`.

    `film` `[blocks, 2, 1, embed_dim]` is what `modulation` gives, None for a tower without FiLM.
    """

    def __init__(self, config: TowerConfig, film_dim: int = 0) -> None:
        super().__init__()
        dim = config.embed_dim
        self.prefix_tokens = config.prefix_tokens
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if config.reg_tokens:
            self.reg_token = nn.Parameter(torch.zeros(1, config.reg_tokens, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, PATCHES_PER_IMAGE, dim))
        self.patch_embed = _PatchEmbed(dim)
        self.blocks = nn.ModuleList(_Block(config, film_dim) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        if config.attention_pool:
            self.attn_pool = _AttentionPool(config)

    def forward(
        self, images: Tensor, cache: Tensor | None = None, film: Tensor | None = None
    ) -> Tensor:
        """Return the features `[B, 256, embed_dim]`, filling a cache of all tokens if given."""
        x = self.patch_embed(images) + self.pos_embed
        x = torch.cat([self.prefix().expand(len(x), -1, -1), x], dim=1)  # [B, prefix + 256, D]
        for index, block in enumerate(self.used_blocks):
            x = block(
                x,
                None if cache is None else cache[index],
                None if film is None else film[index],
            )
        return x[:, self.prefix_tokens :]

    def recompute(
        self, images: Tensor, active: Tensor, cache: Tensor, film: Tensor | None = None
    ) -> Tensor:
        """
        Return the features `[R, embed_dim]` of active patches, the others' keys and values kept.

        images: `[cams, 3, 224, 224]`. active: bool `[cams, 256]`; all True gives `forward`.
        cache: see `VisionBackbone.cache`.
        """
        if active.all():
            return self(images, cache, film).flatten(0, 1)
        places = self.pos_embed[0].expand(len(images), -1, -1)[active]  # [R, D]
        x = self.patch_embed.some(images, active) + places
        busy = active.any(dim=1, keepdim=True).expand(-1, self.prefix_tokens)
        every = torch.cat([busy, active], dim=1)  # [cams, prefix + 256]
        slots = every.flatten().nonzero()[:, 0]
        rows = Rows(slots, every.sum(1).tolist(), len(images))
        columns = torch.arange(every.shape[1], device=x.device).expand_as(every)
        patches = columns[every] >= self.prefix_tokens  # [prefix rows + R]
        whole = x.new_empty(len(slots), x.shape[1])
        whole[patches] = x
        whole[~patches] = self.prefix().expand(len(images), -1, -1)[busy]
        for index, block in enumerate(self.used_blocks):
            whole = block.recompute(
                whole, rows, cache[index], None if film is None else film[index]
            )
        return whole[patches]

    def modulation(self, language: Tensor) -> Tensor:
        """Map the mean embedding of an instruction `[1, D]` to the used blocks' `film`."""
        return torch.stack([block.modulation(language) for block in self.used_blocks])

    @property
    def used_blocks(self) -> nn.ModuleList:
        """Return the blocks before the features: all but the last."""
        return self.blocks[:-1]

    def prefix(self) -> Tensor:
        """Return the class and register tokens `[prefix, D]`."""
        names = (name for name in ('cls_token', 'reg_token') if hasattr(self, name))
        return torch.cat([self.pos_embed[0, :0], *(getattr(self, name)[0] for name in names)])


class VisionBackbone(nn.Module):
    """
    Run one tower, or two whose features are concatenated, on every camera's image.

    film_dim: width of the language that modulates the towers' blocks (FiLM), 0: none does. Where
    it does, `film` is what `modulation` gives for the instruction, else empty.
    """

    def __init__(self, towers: tuple[TowerConfig, ...], film_dim: int = 0) -> None:
        super().__init__()
        self.channels = 3 * len(towers)
        self.filmed = film_dim > 0
        self.featurizer = VisionTower(towers[0], film_dim)
        if len(towers) == 2:
            self.fused_featurizer = VisionTower(towers[1], film_dim)

    def towers(self) -> list[VisionTower]:
        """Return the towers in the order of their channels."""
        fused = [self.fused_featurizer] if self.channels == 6 else []
        return [self.featurizer, *fused]

    def modulation(self, language: Tensor) -> tuple[Tensor, ...]:
        """Map the mean embedding of an instruction `[1, D]` to each tower's `film`."""
        return tuple(tower.modulation(language) for tower in self.towers()) if self.filmed else ()

    def by_tower(self, film: Sequence[Tensor]) -> Sequence[Tensor | None]:
        """Return each tower's `film`; raises ValueError where towers with FiLM are given none."""
        if self.filmed and not film:
            raise ValueError('film: expected the modulation of an instruction, got none')
        return film or [None] * len(self.towers())

    def forward(self, pixel_values: Tensor, film: Sequence[Tensor] = ()) -> Tensor:
        """Map `[B, cams * channels, 224, 224]` to `[B, cams * 256, V]`, camera after camera."""
        b, c = pixel_values.shape[:2]
        cams = c // self.channels
        x = pixel_values.reshape(b * cams, self.channels, IMAGE_SIZE, IMAGE_SIZE)
        parts = [
            tower(x[:, 3 * i : 3 * i + 3], film=one)
            for i, (tower, one) in enumerate(zip(self.towers(), self.by_tower(film), strict=True))
        ]
        return torch.cat(parts, dim=-1).reshape(b, cams * PATCHES_PER_IMAGE, -1)

    def cache(self, cameras: int) -> list[Tensor]:
        """Return an empty cache `[blocks, cams * (prefix + 256), 2 * embed_dim]` per tower."""
        return [
            tower.pos_embed.new_zeros(
                len(tower.used_blocks),
                cameras * (tower.prefix_tokens + PATCHES_PER_IMAGE),
                2 * tower.pos_embed.shape[2],
            )
            for tower in self.towers()
        ]

    def recompute(
        self,
        images: Tensor,
        active: Tensor,
        caches: Sequence[Tensor],
        film: Sequence[Tensor] = (),
    ) -> Tensor:
        """Map images `[cams, channels, 224, 224]` to the features `[R, V]` of active patches."""
        parts = [
            tower.recompute(images[:, 3 * i : 3 * i + 3], active, cache, one)
            for i, (tower, cache, one) in enumerate(
                zip(self.towers(), caches, self.by_tower(film), strict=True)
            )
        ]
        return torch.cat(parts, dim=-1)
