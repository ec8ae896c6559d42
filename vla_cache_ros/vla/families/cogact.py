# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read CogACT: the run folder of its training, or what `save_checkpoint` made of one.

A run folder has `config.json`, `dataset_statistics.json` and one `checkpoints/*.pt`, Prismatic's
layout with a diffusion head beside it. Source: arXiv 2411.19650, the names and numbers of its
published code. Knows no other family.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import re
from typing import Any
from typing import ClassVar

from torch import Tensor
from vla_cache_ros.vla.config import STOP_ID
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.dit import ddim_times
from vla_cache_ros.vla.dit import DiffusionHead
from vla_cache_ros.vla.dit import DiT
from vla_cache_ros.vla.families.source import hugging_face
from vla_cache_ros.vla.families.source import Source
from vla_cache_ros.vla.families.source import statistics
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import whole
from vla_cache_ros.vla.images import ImagePreprocessor

SIZES = {  # width, depth, heads
    'DiT-S': (384, 6, 4),
    'DiT-B': (768, 12, 12),
    'DiT-L': (1024, 24, 16),
}
# What the names of base models in a run's config.json stand for. Llama 2 has norms of 1e-5, where
# OpenVLA's Hugging Face port runs with 1e-6; the image constants aren't the port's rounded ones.
_DINOSIGLIP: dict[str, Any] = {
    'timm_model_ids': ['vit_large_patch14_reg4_dinov2.lvd142m', 'vit_so400m_patch14_siglip_224'],
    'text_config': {
        'model_type': 'llama',
        'vocab_size': 32064,
        'pad_token_id': 32000,
        'rms_norm_eps': 1e-5,
    },
}
BASES = {
    'prism-dinosiglip-224px+7b': _DINOSIGLIP,
    'prism-dinosiglip-224px-controlled+7b': _DINOSIGLIP,
}
_DINO = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SIGLIP = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

# Several times CogACT-Large: modules take memory before any weight is read.
_BOUNDS = {'width': 2**13, 'depth': 128, 'num_heads': 256, 'chunk': 256, 'action_dim': 256}
_MODULES = ('vision_backbone', 'llm_backbone', 'projector', 'action_model')
_IGNORED = ('ema_diffusion',)  # a second head, which the published evaluation leaves aside
_RENAMED = (
    (r'^vision_backbone\.dino_featurizer\.', 'vision_backbone.featurizer.'),
    (r'^vision_backbone\.siglip_featurizer\.', 'vision_backbone.fused_featurizer.'),
    (r'^(vision_backbone\..*\.ls[12])\.gamma$', r'\1.scale_factor'),
    (r'^llm_backbone\.llm\.', 'language_model.'),
    (r'^projector\.projector\.0\.', 'projector.fc1.'),
    (r'^projector\.projector\.2\.', 'projector.fc2.'),
    (r'^projector\.projector\.4\.', 'projector.fc3.'),
    (r'^action_model\.', 'action_head.'),
)


@dataclass(frozen=True)
class CogactConfig:
    """
    Hold the sizes of the diffusion head and how it is sampled; the defaults are CogACT-Base's.

    width, depth, num_heads: of the transformer. chunk: actions of an inference. ddim_steps and
    guidance are those of the published evaluation in SIMPLER.
    """

    family: ClassVar[str] = 'cogact'
    prompt_end: ClassVar[tuple[int, ...]] = (STOP_ID,)  # the token whose hidden state is read

    width: int = 768
    depth: int = 12
    num_heads: int = 12
    chunk: int = 16
    action_dim: int = 7
    ddim_steps: int = 10
    guidance: float = 1.5

    def __post_init__(self) -> None:
        for name, most in _BOUNDS.items():
            whole(f'cogact.{name}', getattr(self, name), 1, most)
        if self.width % self.num_heads:
            raise CheckpointError(
                f'cogact.num_heads: expected a divisor of the width {self.width}, '
                f'found {self.num_heads}'
            )
        number('cogact.guidance', self.guidance, 1, 1000)
        try:
            ddim_times(self.ddim_steps)
        except ValueError as error:
            raise CheckpointError(f'cogact.{error}') from error

    def build(self, hidden_dim: int) -> DiffusionHead:
        """Return the head, its weights random."""
        sizes = (self.width, self.depth, self.num_heads, self.chunk, self.action_dim)
        return DiffusionHead(DiT(hidden_dim, *sizes), self.ddim_steps, self.guidance)

    def products(self, hidden_dim: int) -> list[tuple[float, int, int]]:
        """Return the matrix products of an inference as rows, inputs and outputs."""
        sequences, width, tokens = 2 if self.guidance > 1 else 1, self.width, self.chunk + 1
        rows, moved = sequences * tokens, sequences * self.chunk
        block = [(rows, width, 3 * width), (rows, width, width)]
        block += [(rows, width, tokens), (rows, tokens, width)]  # scores and mixing
        block += [(rows, width, 4 * width), (rows, 4 * width, width)]
        once = [(moved, self.action_dim, width), (rows, width, self.action_dim)]
        once += [(sequences, hidden_dim, width), (sequences, 256, width)]
        once += [(sequences, width, width)]
        return (once + block * self.depth) * self.ddim_steps


class CogACT:
    """Read what has the key `cogact` in `config.json`, or is a Prismatic training's run."""

    name = CogactConfig.family

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return whether the folder is CogACT's."""
        return 'cogact' in raw or isinstance(raw.get('vla'), Mapping)

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """
        Read either layout.

        In a run's `config.json` the keys `timm_model_ids`, `timm_model_kwargs` and `text_config`
        go before what the base model's name stands for, and `cogact` holds fields of CogactConfig.
        """
        given = mapping(f'{folder / "config.json"}: cogact', raw.get('cogact') or {})
        if isinstance(raw.get('vla'), Mapping):
            return _read_run(folder, raw, given)
        head = _head({}, given, str(folder))
        return hugging_face(folder, replace(VLAConfig.from_dict(raw, str(folder)), head=head))


def _read_run(folder: Path, raw: Mapping[str, Any], given: Mapping[str, Any]) -> Source:
    base = raw['vla'].get('base_vlm')
    named = BASES.get(str(base), {})
    if not named and 'timm_model_ids' not in raw:
        raise CheckpointError(
            f'{folder / "config.json"}: expected vla.base_vlm among {sorted(BASES)}, or '
            f'timm_model_ids and text_config beside it, found {base!r:.80}'
        )
    path = _run_file(folder)
    modules = weights.read_modules(path)
    missing = [name for name in _MODULES if name not in modules]
    surplus = [name for name in modules if name not in (*_MODULES, *_IGNORED)]
    if missing or surplus:
        raise CheckpointError(
            f'{path}: expected the modules {", ".join(_MODULES)}, found '
            + '; '.join(
                f'{kind}: {", ".join(names)}'
                for kind, names in (('missing', missing), ('surplus', surplus))
                if names
            )
        )
    config = VLAConfig.from_dict({**named, **raw}, str(folder))
    head = _head(modules['action_model'], given, str(folder))
    return Source(
        config=replace(config, head=head),
        base=_tensors(modules, _MODULES[:-1]),
        heads=_tensors(modules, _MODULES[-1:]),
        base_name=str(path),
        heads_name=str(path),
        files=(path,),
        images=_images(config.towers),
        norm_stats=statistics(folder),
        tokenizer='tokenizer.json, tokenizer.model, tokenizer_config.json and '
        'special_tokens_map.json of Llama 2 (meta-llama/Llama-2-7b-hf, or openvla/openvla-7b)',
    )


def _run_file(folder: Path) -> Path:
    """Return the one file of weights; raises CheckpointError for none or several."""
    found = sorted((folder / 'checkpoints').glob('*.pt'))
    if len(found) != 1:
        names = [path.name for path in found]
        raise CheckpointError(f'{folder / "checkpoints"}: expected one .pt file, found {names}')
    return found[0]


def _head(head: Mapping[str, Tensor], given: Mapping[str, Any], source: str) -> CogactConfig:
    """Return the configuration that the tensors' shapes give, fields of `given` replaced."""
    fields: dict[str, Any] = {}
    if 'net.x_embedder.linear.weight' in head:
        name = 'net.x_embedder.linear.weight'
        width, fields['action_dim'] = weights.shape_of(source, name, head[name], 2)
        heads = {size[0]: size[2] for size in SIZES.values()}
        if width not in heads and 'num_heads' not in given:
            raise CheckpointError(
                f'{source}: expected a head of width {", ".join(map(str, heads))}, or num_heads '
                f'under the key cogact of config.json, found width {width}'
            )
        fields.update(width=width, num_heads=heads.get(width))
    if 'net.positional_embedding' in head:
        name = 'net.positional_embedding'
        fields['chunk'] = weights.shape_of(source, name, head[name], 2)[0] - 1
    blocks = {name.split('.')[2] for name in head if name.startswith('net.blocks.')}
    if blocks:
        fields['depth'] = len(blocks)
    try:
        return CogactConfig(**{**fields, **given})
    except TypeError as error:
        raise CheckpointError(f'{source}: key cogact: {error}') from error


def _tensors(
    modules: Mapping[str, Mapping[str, Tensor]], chosen: tuple[str, ...]
) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors by the names that `VLAModel` has; unknown names are kept."""
    for module in chosen:
        for key, tensor in modules[module].items():
            name = f'{module}.{key}'
            for pattern, text in _RENAMED:
                name = re.sub(pattern, text, name)
            yield name, tensor.clone()  # the file is mapped, and may be cut short later


def _images(towers: tuple[TowerConfig, ...]) -> ImagePreprocessor:
    pairs = [_SIGLIP if tower.attention_pool else _DINO for tower in towers]
    return ImagePreprocessor(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
