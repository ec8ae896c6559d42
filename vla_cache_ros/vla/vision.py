# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn preprocessed images into patch features with DINOv2 and SigLIP vision transformers.

The modules carry the parameter names of timm. Prismatic's features leave from the last block but
one, without the final norm; the parts after that exist because the files hold them, and are never
computed. N is the number of patches of an image. Knows nothing of cameras' names or of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch import Tensor
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.vision_blocks import AttentionPool
from vla_cache_ros.vla.vision_blocks import Block
from vla_cache_ros.vla.vision_blocks import EPSILON
from vla_cache_ros.vla.vision_blocks import PatchEmbed
from vla_cache_ros.vla.vision_blocks import Rows


class VisionTower(nn.Module):
    """
    Map images `[B, 3, H, W]` to features `[B, tokens, width]`, see `TowerConfig`.

    `film` `[blocks, 2, 1, embed_dim]` is what `modulation` gives, None for a tower without FiLM.
    """

    def __init__(self, config: TowerConfig, film_dim: int = 0) -> None:
        super().__init__()
        dim = config.embed_dim
        self.config = config
        self.prefix_tokens = config.prefix_tokens
        if config.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if config.reg_tokens:
            self.reg_token = nn.Parameter(torch.zeros(1, config.reg_tokens, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.patches, dim))
        self.patch_embed = PatchEmbed(dim, config.patch)
        self.blocks = nn.ModuleList(Block(config, film_dim) for _ in range(config.depth))
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        if config.attention_pool:
            self.attn_pool = AttentionPool(config)

    def forward(
        self, images: Tensor, caches: Sequence[Tensor] = (), film: Tensor | None = None
    ) -> Tensor:
        """Return the features `[B, tokens, width]`, filling caches of all patches if given."""
        x = self.patch_embed(images) + self.pos_embed
        x = torch.cat([self.prefix().expand(len(x), -1, -1), x], dim=1)  # [B, prefix + N, D]
        for index, block in enumerate(self.used_blocks):
            x = block(
                x,
                [cache[index] for cache in caches],
                None if film is None else film[index],
            )
        return self.finish(x[:, self.prefix_tokens :])

    def recompute(
        self,
        images: Tensor,
        active: Tensor,
        caches: Sequence[Tensor],
        film: Tensor | None = None,
    ) -> Tensor:
        """
        Return the features `[R, width]` of active tokens, the others' keys and values kept.

        images: `[cams, 3, H, W]`. active: bool `[cams, tokens]`; all True gives `forward`.
        caches: see `VisionBackbone.cache`, one after the other over the cameras.
        """
        if active.all():
            return self(images, caches, film).flatten(0, 1)
        active = self.patches_of(active)  # [cams, N]
        places = self.pos_embed[0].expand(len(images), -1, -1)[active]  # [R, D]
        x = self.patch_embed.some(images, active) + places
        busy = active.any(dim=1, keepdim=True).expand(-1, self.prefix_tokens)
        every = torch.cat([busy, active], dim=1)  # [cams, prefix + N]
        tokens = every.shape[1]
        rows = Rows.of(every, [cache.shape[1] // tokens for cache in caches])
        columns = torch.arange(every.shape[1], device=x.device).expand_as(every)
        patches = columns[every] >= self.prefix_tokens  # [prefix rows + R]
        whole = x.new_empty(len(patches), x.shape[1])
        whole[patches] = x
        whole[~patches] = self.prefix().expand(len(images), -1, -1)[busy]
        for index, block in enumerate(self.used_blocks):
            whole = block.recompute(
                whole,
                rows,
                [cache[index] for cache in caches],
                None if film is None else film[index],
            )
        return self._finish_some(whole[patches], active)

    def patches_of(self, tokens: Tensor) -> Tensor:
        """Return which patches `[B, N]` make the tokens `[B, tokens]` that are marked."""
        group, side = self.config.group, self.config.side // self.config.group
        if group == 1:
            return tokens
        square = tokens.unflatten(1, (side, side))
        return square.repeat_interleave(group, 1).repeat_interleave(group, 2).flatten(1)

    def finish(self, x: Tensor) -> Tensor:
        """Map what the last block gives `[B, N, D]` to the features `[B, tokens, width]`."""
        if not self.config.finished:
            return x
        x, group = self.norm(x), self.config.group
        if group == 1:
            return x
        side = self.config.side // group
        cells = x.unflatten(1, (side, group, side, group))  # [B, row, in it, column, in it, D]
        return cells.transpose(2, 3).flatten(3).flatten(1, 2)  # [B, tokens, group**2 * D]

    def _finish_some(self, x: Tensor, active: Tensor) -> Tensor:
        """Map rows `[R, D]` of the patches `active` `[cams, N]`, as `finish` does."""
        if self.config.group == 1:
            return self.norm(x) if self.config.finished else x
        # rows of a token are not neighbours: a camera's patches stand in raster order
        group, side = self.config.group, self.config.side
        patch = active.nonzero()  # [R, 2]: camera, patch
        row, column = patch[:, 1] // side, patch[:, 1] % side
        token = (patch[:, 0] * side + row // group) * side + column // group
        order = torch.argsort(token, stable=True)  # within a token still in raster order
        return self.norm(x)[order].reshape(-1, self.config.width)

    def modulation(self, language: Tensor) -> Tensor:
        """Map the mean embedding of an instruction `[1, D]` to the used blocks' `film`."""
        return torch.stack([block.modulation(language) for block in self.used_blocks])

    @property
    def used_blocks(self) -> nn.ModuleList:
        """Return the blocks before the features: all but the last, unless it is finished."""
        return self.blocks if self.config.finished else self.blocks[:-1]

    def prefix(self) -> Tensor:
        """Return the class and register tokens `[prefix, D]`."""
        names = (name for name in ('cls_token', 'reg_token') if hasattr(self, name))
        return torch.cat([self.pos_embed[0, :0], *(getattr(self, name)[0] for name in names)])


@dataclass(frozen=True)
class Looked:
    """
    Ask for the features of some tokens of one robot's cameras.

    images: `[cams, channels, H, W]`. active: bool `[cams, tokens]`. caches: of each tower, see
    `VisionBackbone.cache`. film: what `modulation` gives, empty without FiLM.
    """

    images: Tensor
    active: Tensor
    caches: Sequence[Tensor]
    film: Sequence[Tensor] = ()


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
        """Map `[B, cams * channels, H, W]` to `[B, cams * tokens, V]`, camera after camera."""
        b, c = pixel_values.shape[:2]
        cams = c // self.channels
        x = pixel_values.reshape(b * cams, self.channels, *pixel_values.shape[2:])
        parts = [
            tower(x[:, 3 * i : 3 * i + 3], film=one)
            for i, (tower, one) in enumerate(zip(self.towers(), self.by_tower(film), strict=True))
        ]
        features = torch.cat(parts, dim=-1)  # [B * cams, tokens, V]
        return features.reshape(b, -1, features.shape[2])

    def cache(self, cameras: int) -> list[Tensor]:
        """Return an empty cache `[blocks, cams * (prefix + N), 2 * embed_dim]` per tower."""
        return [
            tower.pos_embed.new_zeros(
                len(tower.used_blocks),
                cameras * (tower.prefix_tokens + tower.config.patches),
                2 * tower.pos_embed.shape[2],
            )
            for tower in self.towers()
        ]

    def recompute(self, asked: Sequence[Looked]) -> list[Tensor]:
        """Return for each camera set the features `[R, V]` of active tokens; all of one `film`."""
        images = torch.cat([one.images for one in asked])
        active = torch.cat([one.active for one in asked])
        films = self.by_tower(asked[0].film)
        parts = [
            tower.recompute(
                images[:, 3 * i : 3 * i + 3], active, [one.caches[i] for one in asked], film
            )
            for i, (tower, film) in enumerate(zip(self.towers(), films, strict=True))
        ]
        counts = [int(one.active.sum()) for one in asked]
        return list(torch.cat(parts, dim=-1).split(counts))
