# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write the `config.json` of a Prismatic / OpenVLA checkpoint.

Knows the sizes of every part of the model and which keys a published file leaves out. Knows
nothing of weights, of images or of what the actions mean on a robot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig
from vla_cache_ros.vla.errors import CheckpointError
from vla_cache_ros.vla.heads import HeadConfig

IMAGE_SIZE = 224
PATCH = 14
PATCHES_PER_IMAGE = (IMAGE_SIZE // PATCH) ** 2
STOP_ID = 2
ACTION_HEADS = ('l1', 'discrete', 'diffusion')

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


@dataclass(frozen=True)
class TowerConfig:
    """Hold the sizes of one vision tower."""

    timm_id: str
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    class_token: bool
    reg_tokens: int
    layer_scale: bool

    @property
    def prefix_tokens(self) -> int:
        """Return the number of tokens before the patches (class and register tokens)."""
        return int(self.class_token) + self.reg_tokens

    @property
    def attention_pool(self) -> bool:
        """Return whether the tower carries SigLIP's pooling head (stored, never computed)."""
        return not self.class_token

    @classmethod
    def from_timm(cls, timm_id: str, overrides: Mapping[str, Any] | None = None) -> TowerConfig:
        """
        Return the sizes that a timm id stands for, with some replaced.

        Raises CheckpointError for an id or an override this package has no tower for.
        """
        name = timm_id.split('.')[0]
        if name not in _TOWERS:
            raise CheckpointError(
                f'timm_model_ids: expected one of {sorted(_TOWERS)}, found {timm_id!r}'
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
        return cls(timm_id=timm_id, **sizes)


@dataclass(frozen=True)
class OftConfig:
    """
    Hold what OpenVLA-OFT decides outside `config.json`; the defaults are those of LIBERO.

    `action_head` is 'l1' (regression), 'discrete' (arg max of the logits) or 'diffusion'.
    `normalization` is 'bounds_q99' (1st and 99th percentile) or 'bounds' (minimum and maximum).
    """

    num_images: int = 2
    chunk: int = 8
    action_dim: int = 7
    use_proprio: bool = True
    proprio_dim: int = 8
    action_head: str = 'l1'
    normalization: str = 'bounds_q99'

    def __post_init__(self) -> None:
        if self.action_head not in ACTION_HEADS:
            raise CheckpointError(
                f'oft.action_head: expected one of {ACTION_HEADS}, found {self.action_head!r}'
            )
        if self.normalization not in ('bounds_q99', 'bounds'):
            raise CheckpointError(
                "oft.normalization: expected 'bounds_q99' or 'bounds', "
                f'found {self.normalization!r}'
            )
        for name in ('num_images', 'chunk', 'action_dim', 'proprio_dim'):
            if int(getattr(self, name)) < 1:
                raise CheckpointError(f'oft.{name}: expected at least 1')


@dataclass(frozen=True)
class VLAConfig:
    """
    Hold everything that fixes the shapes and the token ids of a model.

    `oft` is None for causal models; those decode token by token, or have a `head` that reads the
    last prompt token. `norm_stats` maps a data set's name to its action (and proprio) statistics.
    """

    towers: tuple[TowerConfig, ...]
    text: dict[str, Any]
    pad_token_id: int = 32000
    pad_to_multiple_of: int = 64
    n_action_bins: int = 256
    norm_stats: dict[str, Any] = field(default_factory=dict)
    oft: OftConfig | None = None
    head: HeadConfig | None = None

    @property
    def fused(self) -> bool:
        """Return whether two towers are concatenated."""
        return len(self.towers) == 2

    @property
    def cameras(self) -> int:
        """Return the number of images that the model takes."""
        return 1 if self.oft is None else self.oft.num_images

    @property
    def channels(self) -> int:
        """Return the channels of one preprocessed image: three for each tower."""
        return 3 * len(self.towers)

    @property
    def vision_dim(self) -> int:
        """Return V, the width of a patch feature before the projector."""
        return sum(tower.embed_dim for tower in self.towers)

    @property
    def hidden_dim(self) -> int:
        """Return D, the width of the decoder."""
        return self.llama().hidden_size

    @property
    def action_vocab_end(self) -> int:
        """Return one past the highest action token id: the vocabulary without its padding."""
        return self.llama().vocab_size - self.pad_to_multiple_of

    @property
    def bidirectional(self) -> bool:
        """Return whether every position attends to every other (OpenVLA-OFT)."""
        return self.oft is not None

    @property
    def family(self) -> str:
        """Return the name of the family that models of this configuration are of."""
        if self.head is not None:
            return self.head.family
        return 'openvla' if self.oft is None else 'openvla-oft'

    @property
    def decodes_tokens(self) -> bool:
        """Return whether the action's tokens are decoded one after another (OpenVLA)."""
        return self.oft is None and self.head is None

    @property
    def chunk(self) -> int:
        """Return C, the number of actions that one inference gives."""
        given = self.head or self.oft
        return 1 if given is None else given.chunk

    @property
    def action_dim(self) -> int | None:
        """Return A, the numbers of an action; None where the statistics alone say it."""
        given = self.head or self.oft
        return None if given is None else given.action_dim

    @property
    def proprio_dim(self) -> int:
        """Return P, the length of the robot state; 0 if the model takes none."""
        return self.oft.proprio_dim if self.oft is not None and self.oft.use_proprio else 0

    def head_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Return what a head's weights are kept in; one that denoises step by step is exact."""
        return dtype if self.head is None else torch.float32

    def llama(self) -> LlamaConfig:
        """
        Return the decoder's configuration; absent keys take the LlamaConfig defaults.

        The embeddings are never tied, whatever a wrapping configuration says.
        """
        known = {k: v for k, v in self.text.items() if k not in ('model_type', 'torch_dtype')}
        return LlamaConfig(
            **{**known, 'tie_word_embeddings': False, 'attn_implementation': 'sdpa'}
        )

    def with_oft(self, oft: OftConfig | None) -> VLAConfig:
        """Return the same model read as an OFT model (or, with None, as a causal one)."""
        return replace(self, oft=oft)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], source: str = 'config.json') -> VLAConfig:
        """
        Return the configuration that a parsed `config.json` describes.

        Raises CheckpointError, naming `source` and the key, where one is missing or contradicts.
        """
        for key in ('timm_model_ids', 'text_config'):
            if key not in raw:
                raise CheckpointError(f'{source}: expected the key {key!r}, found none')
        ids = list(raw['timm_model_ids'])
        fused = bool(raw.get('use_fused_vision_backbone', len(ids) == 2))
        if len(ids) != (2 if fused else 1):
            raise CheckpointError(
                f'{source}: expected {2 if fused else 1} timm_model_ids with '
                f'use_fused_vision_backbone {str(fused).lower()}, found {len(ids)}'
            )
        sizes = list(raw.get('image_sizes', [IMAGE_SIZE]))
        if any(size != IMAGE_SIZE for size in sizes):
            raise CheckpointError(f'{source}: expected image_sizes {IMAGE_SIZE}, found {sizes}')
        overrides = raw.get('timm_model_kwargs') or [None] * len(ids)
        if isinstance(overrides, Mapping):
            overrides = [overrides]
        if len(overrides) != len(ids):
            raise CheckpointError(
                f'{source}: expected {len(ids)} entries in timm_model_kwargs, '
                f'found {len(overrides)}'
            )
        oft = raw.get('oft')
        try:
            oft_config = None if oft is None else OftConfig(**oft)
        except TypeError as error:
            raise CheckpointError(f'{source}: key oft: {error}') from error
        return cls(
            towers=tuple(TowerConfig.from_timm(i, o) for i, o in zip(ids, overrides, strict=True)),
            text=dict(raw['text_config']),
            pad_token_id=int(raw.get('pad_token_id', 32000)),
            pad_to_multiple_of=int(raw.get('pad_to_multiple_of', 64)),
            n_action_bins=int(raw.get('n_action_bins', 256)),
            norm_stats=dict(raw.get('norm_stats') or {}),
            oft=oft_config,
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> VLAConfig:
        """Read `config.json` in a folder. Raises CheckpointError if it is absent or no JSON."""
        return cls.from_dict(read_json(Path(folder) / 'config.json'), str(folder))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a `config.json` that `from_dict` reads back unchanged."""
        sizes = []
        for tower in self.towers:
            full = asdict(TowerConfig.from_timm(tower.timm_id))
            sizes.append({k: v for k, v in asdict(tower).items() if v != full[k]})
        raw: dict[str, Any] = {
            'model_type': 'openvla',
            'architectures': ['OpenVLAForActionPrediction'],
            'timm_model_ids': [tower.timm_id for tower in self.towers],
            'timm_model_kwargs': sizes,
            'use_fused_vision_backbone': self.fused,
            'image_sizes': [IMAGE_SIZE] * len(self.towers),
            'image_resize_strategy': 'resize-naive',
            'text_config': self.text,
            'pad_token_id': self.pad_token_id,
            'pad_to_multiple_of': self.pad_to_multiple_of,
            'n_action_bins': self.n_action_bins,
            'norm_stats': self.norm_stats,
        }
        if self.oft is not None:
            raw['oft'] = asdict(self.oft)
        if self.head is not None:
            raw[self.head.family] = asdict(self.head)
        return raw


def read_json(path: Path) -> Any:
    """Return the parsed content of a JSON file; raises CheckpointError naming the file."""
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise CheckpointError(f'expected the file {path}, found none') from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f'{path}: expected JSON, found damaged text ({error})') from error
