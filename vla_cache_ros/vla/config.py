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
import math
from pathlib import Path
import re
from typing import Any

import torch
from transformers import GemmaConfig
from transformers import LlamaConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import flag
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.json_file import whole
from vla_cache_ros.vla.flow.config import FlowConfig
from vla_cache_ros.vla.heads import HeadConfig
from vla_cache_ros.vla.image_steps import IMAGE_SIZE
from vla_cache_ros.vla.tower_config import TowerConfig

PATCH = 14
PATCHES_PER_IMAGE = (IMAGE_SIZE // PATCH) ** 2
STOP_ID = 2
ACTION_HEADS = ('l1', 'discrete', 'diffusion')

# Of a flow model, what LeRobot keeps in float32: what states, actions and times go through.
_EXACT = r'proprio_projector\.|action_head\.(action_|time_|state_|.*\bdense\.)'

# Several times the largest that is published: modules take memory before any weight is read.
_TEXT = {
    'vocab_size': (1, 2**20),
    'hidden_size': (1, 2**15),
    'intermediate_size': (1, 2**17),
    'num_hidden_layers': (1, 256),
    'num_attention_heads': (1, 512),
    'num_key_value_heads': (1, 512),
    'head_dim': (1, 1024),
    'max_position_embeddings': (1, 2**24),
}
# What else of text_config this package reads; the rest is about running it otherwise.
_TEXT_ALSO = (
    *('hidden_act', 'initializer_range', 'rms_norm_eps', 'rope_theta', 'rope_scaling'),
    *('rope_parameters', 'attention_bias', 'attention_dropout', 'mlp_bias'),
    *('bos_token_id', 'eos_token_id', 'pad_token_id'),
)
_OFT = {'num_images': (1, 64), 'chunk': (1, 256), 'action_dim': (1, 256), 'proprio_dim': (1, 1024)}


@dataclass(frozen=True)
class OftConfig:
    """
    Hold what OpenVLA-OFT decides outside `config.json`; the defaults are those of LIBERO.

    `action_head` is 'l1' (regression), 'discrete' (arg max of the logits) or 'diffusion'.
    `normalization` is 'bounds_q99' (1st and 99th percentile) or 'bounds' (minimum and maximum).
    `film` says whether the instruction modulates the vision towers.
    """

    num_images: int = 2
    chunk: int = 8
    action_dim: int = 7
    use_proprio: bool = True
    proprio_dim: int = 8
    action_head: str = 'l1'
    normalization: str = 'bounds_q99'
    film: bool = False

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
        for name, (low, high) in _OFT.items():
            whole(f'oft.{name}', getattr(self, name), low, high)
        flag('oft.use_proprio', self.use_proprio)
        flag('oft.film', self.film)


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
    def flow(self) -> FlowConfig | None:
        """Return the sizes of an action expert that reads the cache, None without one."""
        return self.head if isinstance(self.head, FlowConfig) else None

    @property
    def cameras(self) -> int:
        """Return the number of images that the model takes."""
        given = self.flow or self.oft
        return 1 if given is None else given.num_images

    @property
    def image_size(self) -> int:
        """Return the pixels of the model's images, each way."""
        return self.towers[0].image_size

    @property
    def tokens(self) -> int:
        """Return the visual tokens of an image."""
        return self.towers[0].tokens

    @property
    def picture_size(self) -> int:
        """Return the pixels, each way, of the picture that a gate sees: 14 for each token."""
        return PATCH * math.isqrt(self.tokens)

    @property
    def channels(self) -> int:
        """Return the channels of one preprocessed image: three for each tower."""
        return 3 * len(self.towers)

    @property
    def vision_dim(self) -> int:
        """Return V, the width of a visual token's feature before the projector."""
        return sum(tower.width for tower in self.towers)

    @property
    def hidden_dim(self) -> int:
        """Return D, the width of the decoder."""
        return self.decoder().hidden_size

    @property
    def action_vocab_end(self) -> int:
        """Return one past the highest action token id: the vocabulary without its padding."""
        return self.decoder().vocab_size - self.pad_to_multiple_of

    @property
    def bidirectional(self) -> bool:
        """Return whether every position attends to every other, but for `state_unseen`."""
        return self.oft is not None or self.flow is not None

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
        if self.flow is not None:
            return self.flow.proprio_dim
        return self.oft.proprio_dim if self.oft is not None and self.oft.use_proprio else 0

    @property
    def film(self) -> bool:
        """Return whether the instruction modulates the vision towers."""
        return self.oft is not None and self.oft.film

    def weight_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """Return what a weight is kept in; what denoises step by step is exact."""
        if self.flow is not None:
            exact = bool(re.match(_EXACT, name))
        else:
            exact = self.head is not None and name.startswith('action_head.')
        return torch.float32 if exact else dtype

    def decoder(self) -> LlamaConfig | GemmaConfig:
        """
        Return the decoder's configuration; absent keys take the defaults of its class.

        Only keys that describe the model are taken: others could name code that transformers
        fetches. The embeddings are never tied, whatever a wrapping configuration says.
        """
        known = {k: v for k, v in self.text.items() if k in _TEXT or k in _TEXT_ALSO}
        kind = GemmaConfig if self.text.get('model_type') == 'gemma' else LlamaConfig
        try:
            return kind(**known, tie_word_embeddings=False, attn_implementation='sdpa')
        except Exception as error:  # noqa: BLE001 - transformers raises anything here
            reason = ' '.join(str(error).split())
            raise CheckpointError(f'text_config: expected a Llama, found {reason:.200}') from error

    def with_oft(self, oft: OftConfig | None) -> VLAConfig:
        """Return the same model read as an OFT model (or, with None, as a causal one)."""
        return replace(self, oft=oft)

    def with_steps(self, steps: Any) -> VLAConfig:
        """Return a flow model that denoises in so many steps; CheckpointError for another one."""
        if self.flow is None:
            raise CheckpointError(
                'flow_steps: expected a checkpoint of SmolVLA, pi0 or pi0.5, found a model that '
                'does not denoise; leave it out'
            )
        return replace(self, head=replace(self.flow, steps=steps))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], source: str = 'config.json') -> VLAConfig:
        """
        Return the configuration that a parsed `config.json` describes.

        Raises CheckpointError, naming `source` and the key, where one is missing or contradicts.
        """
        for key in ('timm_model_ids', 'text_config'):
            if key not in raw:
                raise CheckpointError(f'{source}: expected the key {key!r}, found none')
        ids = _list(f'{source}: timm_model_ids', raw['timm_model_ids'])
        fused = flag(
            f'{source}: use_fused_vision_backbone',
            raw.get('use_fused_vision_backbone', len(ids) == 2),
        )
        if len(ids) != (2 if fused else 1):
            raise CheckpointError(
                f'{source}: expected {2 if fused else 1} timm_model_ids with '
                f'use_fused_vision_backbone {str(fused).lower()}, found {len(ids)}'
            )
        sizes = _list(f'{source}: image_sizes', raw.get('image_sizes', [IMAGE_SIZE]))
        if any(size != IMAGE_SIZE for size in sizes):
            raise CheckpointError(
                f'{source}: expected image_sizes {IMAGE_SIZE}, found {sizes!r:.80}'
            )
        overrides = raw.get('timm_model_kwargs') or [None] * len(ids)
        if isinstance(overrides, Mapping):
            overrides = [overrides]
        overrides = [
            mapping(f'{source}: timm_model_kwargs', one or {})
            for one in _list(f'{source}: timm_model_kwargs', overrides)
        ]
        if len(overrides) != len(ids):
            raise CheckpointError(
                f'{source}: expected {len(ids)} entries in timm_model_kwargs, '
                f'found {len(overrides)}'
            )
        oft = raw.get('oft')
        try:
            oft_config = None if oft is None else OftConfig(**mapping(f'{source}: oft', oft))
        except TypeError as error:
            raise CheckpointError(f'{source}: key oft: {error}') from error
        return cls(
            towers=tuple(TowerConfig.from_timm(i, o) for i, o in zip(ids, overrides, strict=True)),
            text=_text(f'{source}: text_config', raw['text_config']),
            oft=oft_config,
            norm_stats=mapping(f'{source}: norm_stats', raw.get('norm_stats') or {}),
            **{
                key: whole(f'{source}: {key}', raw.get(key, default), low, high)
                for key, default, low, high in (
                    ('pad_token_id', 32000, 0, 2**20),
                    ('pad_to_multiple_of', 64, 0, 2**16),
                    ('n_action_bins', 256, 2, 2**16),
                )
            },
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
        if self.head is None:
            raw['oft'] = None if self.oft is None else asdict(self.oft)
        else:
            raw[self.head.family] = asdict(self.head)
        return raw


def _list(name: str, value: object) -> list:
    if not isinstance(value, list | tuple):
        raise CheckpointError(f'{name}: expected a list, found {value!r:.80}')
    return list(value)


def _text(name: str, value: object) -> dict[str, Any]:
    text = mapping(name, value)
    for key, (low, high) in _TEXT.items():
        if text.get(key) is not None:
            whole(f'{name}.{key}', text[key], low, high)
    if 'rms_norm_eps' in text:
        number(f'{name}.rms_norm_eps', text['rms_norm_eps'], 0.0, 1.0)
    return text
