# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how large the vision towers are that Prismatic models use, by timm id.

Knows nothing of the decoder and of weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import flag
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import whole

# Full sizes of the towers that Prismatic models use, by timm id without its pretraining tag.
_TOWERS: dict[str, dict[str, Any]] = {
    'vit_small_patch14_reg4_dinov2': {'embed_dim': 384, 'depth': 12, 'num_heads': 6},
    'vit_base_patch14_reg4_dinov2': {'embed_dim': 768, 'depth': 12, 'num_heads': 12},
    'vit_large_patch14_reg4_dinov2': {'embed_dim': 1024, 'depth': 24, 'num_heads': 16},
    'vit_so400m_patch14_siglip_224': {'embed_dim': 1152, 'depth': 27, 'num_heads': 16},
}
# What makes a tower a DINOv2 or a SigLIP one; `mlp_ratio` 3.7362 gives the 4304 of So400m.
_FAMILIES: dict[str, dict[str, Any]] = {
    'dinov2': {'mlp_ratio': 4.0, 'class_token': True, 'reg_tokens': 4, 'layer_scale': True},
    'siglip': {'mlp_ratio': 3.7362, 'class_token': False, 'reg_tokens': 0, 'layer_scale': False},
}
# Several times the largest tower: modules take memory before any weight is read.
_TOWER = {'embed_dim': (1, 2**13), 'depth': (1, 128), 'num_heads': (1, 256), 'reg_tokens': (0, 64)}


@dataclass(frozen=True)
class TowerConfig:
    """
    Hold the sizes of one vision tower.

    group: patches each way that make one token (SmolVLA's pixel shuffle). finished: whether
    features leave after the last block and the final norm, and GELU is the tanh one, as in
    transformers' SigLIP; Prismatic takes them from the last block but one.
    """

    timm_id: str
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    class_token: bool
    reg_tokens: int
    layer_scale: bool
    image_size: int = 224
    patch: int = 14
    group: int = 1
    finished: bool = False

    @property
    def side(self) -> int:
        """Return the patches along each side of an image."""
        return self.image_size // self.patch

    @property
    def patches(self) -> int:
        """Return the patches of an image."""
        return self.side**2

    @property
    def tokens(self) -> int:
        """Return the visual tokens of an image: groups of patches, each way."""
        return self.patches // self.group**2

    @property
    def inner(self) -> int:
        """Return the width between the two layers of a block's MLP."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def width(self) -> int:
        """Return the width of a visual token's feature: that of all its patches."""
        return self.embed_dim * self.group**2

    @property
    def prefix_tokens(self) -> int:
        """Return the number of tokens before the patches (class and register tokens)."""
        return int(self.class_token) + self.reg_tokens

    @property
    def attention_pool(self) -> bool:
        """Return whether the tower carries SigLIP's pooling head (stored, never computed)."""
        return not (self.class_token or self.finished)

    @classmethod
    def from_timm(cls, timm_id: str, overrides: Mapping[str, Any] | None = None) -> TowerConfig:
        """
        Return the sizes that a timm id stands for, with some replaced.

        Raises CheckpointError for an id or an override this package has no tower for.
        """
        name = str(timm_id).split('.')[0]
        if name not in _TOWERS:
            raise CheckpointError(
                f'timm_model_ids: expected one of {sorted(_TOWERS)}, found {timm_id!r:.80}'
            )
        family = 'siglip' if 'siglip' in name else 'dinov2'
        sizes = {**_FAMILIES[family], **_TOWERS[name]}
        for key, value in (overrides or {}).items():
            if key not in sizes:
                raise CheckpointError(
                    f'timm_model_kwargs of {timm_id}: expected keys among {sorted(sizes)}, '
                    f'found {key!r}'
                )
            sizes[key] = value
        for key, (low, high) in _TOWER.items():
            whole(f'{key} of {timm_id}', sizes[key], low, high)
        number(f'mlp_ratio of {timm_id}', sizes['mlp_ratio'], 0.1, 64)
        for key in ('class_token', 'layer_scale'):
            flag(f'{key} of {timm_id}', sizes[key])
        if sizes['embed_dim'] % sizes['num_heads']:
            raise CheckpointError(
                f'num_heads of {timm_id}: expected a divisor of embed_dim {sizes["embed_dim"]}, '
                f'found {sizes["num_heads"]}'
            )
        return cls(timm_id=timm_id, **sizes)
