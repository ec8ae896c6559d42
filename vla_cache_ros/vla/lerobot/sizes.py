# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how large a model is from the shapes of its tensors.

What no shape gives (heads, where a matrix has all of them) comes from the folder, else from what
is published for such widths.
"""

from __future__ import annotations

from collections.abc import Mapping
import math
from pathlib import Path
import re
from typing import Any

from torch import Tensor
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.json_file import whole
from vla_cache_ros.vla.flow.config import FlowConfig
from vla_cache_ros.vla.lerobot.folder import PolicyConfig
from vla_cache_ros.vla.lerobot.keys import OWN

_TOWER = 'vision_backbone.featurizer.'
_TEXT = 'language_model.model.'
# of the published models, by width: SigLIP base and So400m; SmolLM2-360M and Gemma 2B
_VISION_HEADS = {768: 12, 1152: 16}
_HEAD_DIM = {960: 64, 2048: 256}
_OWN = {'vision_heads': (1, 256), 'head_dim': (2, 1024)}
# What SmolVLA's modules do here whatever its VLM's configuration says, so that it must say this.
_VLM = {
    'text_config': {'rms_norm_eps': 1e-5, 'hidden_act': 'silu', 'model_type': 'llama'},
    'vision_config': {'layer_norm_eps': 1e-6, 'hidden_act': 'gelu_pytorch_tanh'},
}


def vla_config(
    folder: Path,
    raw: Mapping[str, Any],
    config: PolicyConfig,
    tensors: Mapping[str, Tensor],
    prompt_tokens: int,
) -> VLAConfig:
    """
    Return the configuration of the model whose tensors, all layers among them, are named.

    raw: the parsed `config.json`. prompt_tokens: the longest prompt. Raises CheckpointError for a
    tensor that is missing and for sizes that contradict each other.
    """
    shapes = _Shapes(str(config.source.parent), tensors)
    given = _given(folder, raw, config)
    smolvla = config.kind == 'smolvla'
    hidden, vocabulary = shapes.width('embed_tokens.weight'), shapes.rows('embed_tokens.weight')
    tower = _tower(config, shapes, given, hidden)
    layers = _layers(config, shapes)
    keys = shapes.rows('layers.0.self_attn.k_proj.weight')
    head_dim = given.get('head_dim') or _HEAD_DIM.get(hidden) or (None if smolvla else keys)
    heads = _split(config, shapes.rows('layers.0.self_attn.q_proj.weight'), head_dim, 'head_dim')
    text: dict[str, Any] = {
        'model_type': 'llama' if smolvla else 'gemma',
        'vocab_size': vocabulary,
        'hidden_size': hidden,
        'intermediate_size': shapes.rows('layers.0.mlp.gate_proj.weight'),
        'num_hidden_layers': layers,
        'num_attention_heads': heads,
        'num_key_value_heads': _split(config, keys, head_dim, 'head_dim'),
        'head_dim': head_dim,
        'rms_norm_eps': 1e-5 if smolvla else 1e-6,
        'rope_theta': 10000.0,  # of SmolVLA too, whatever the VLM was trained with
        'max_position_embeddings': 8192,
        'pad_token_id': 0,
    }
    expert = 'action_head.layers.0.'
    flow = FlowConfig(
        family=config.kind,
        num_images=len(config.cameras),
        proprio_dim=config.state,
        action_dim=config.action,
        chunk=config.chunk,
        width=shapes.width(f'{expert}mlp.up_proj.weight'),
        inner=shapes.rows(f'{expert}mlp.up_proj.weight'),
        depth=layers,
        num_heads=_split(
            config, shapes.rows(f'{expert}self_attn.q_proj.weight'), head_dim, 'head_dim'
        ),
        kv_heads=text['num_key_value_heads'],
        head_dim=head_dim,
        steps=config.steps,
        state_size=config.state_size,
        action_size=config.action_size,
        min_period=config.min_period,
        max_period=config.max_period,
        prompt_tokens=prompt_tokens,
    )
    return VLAConfig(towers=(tower,), text=text, head=flow)


class _Shapes:
    """Look up shapes by the names that `VLAModel` has; the decoder's may lack their beginning."""

    def __init__(self, source: str, tensors: Mapping[str, Tensor]) -> None:
        self.source, self.tensors = source, tensors

    def of(self, name: str, rank: int) -> tuple[int, ...]:
        found = self.tensors.get(name, self.tensors.get(_TEXT + name))
        if found is None or found.ndim != rank or 0 in found.shape:
            text = 'none' if found is None else str(list(found.shape))
            raise CheckpointError(
                f'{self.source}: expected the tensor {name} of {rank} dimensions, found {text}; '
                'the weights are not those of this type of policy'
            )
        return tuple(found.shape)

    def rows(self, name: str) -> int:
        return self.of(name, 2)[0]

    def width(self, name: str) -> int:
        return self.of(name, 2)[1]

    def layers(self, before: str) -> int:
        found = {re.match(rf'{re.escape(before)}(\d+)\.', name) for name in self.tensors}
        return len({one[1] for one in found if one})


def _tower(
    config: PolicyConfig, shapes: _Shapes, given: Mapping[str, int], hidden: int
) -> TowerConfig:
    width, _, patch, _ = shapes.of(f'{_TOWER}patch_embed.proj.weight', 4)
    patches = shapes.of(f'{_TOWER}pos_embed', 3)[1]
    side = math.isqrt(patches)
    if side**2 != patches or side * patch != config.image_size:
        raise CheckpointError(
            f'{config.source}: expected pictures of {config.image_size} x {config.image_size} as '
            f'its patches of {patch}, found {patches} of them in the weights'
        )
    heads = given.get('vision_heads') or _VISION_HEADS.get(width)
    _split(config, width, heads, 'vision_heads')
    together = shapes.width('projector.weight') // width
    group = math.isqrt(together)
    if group < 1 or group**2 != together or side % group:
        raise CheckpointError(
            f'{config.source.parent}: expected a projector of square groups of patches, found '
            f'{together} patches a token'
        )
    inner = shapes.rows(f'{_TOWER}blocks.0.mlp.fc1.weight')
    return TowerConfig(
        timm_id='siglip',
        embed_dim=width,
        depth=whole(f'{shapes.source}: {_TOWER}blocks', shapes.layers(f'{_TOWER}blocks.'), 1, 128),
        num_heads=heads,
        mlp_ratio=(inner + 0.5) / width,
        class_token=False,
        reg_tokens=0,
        layer_scale=False,
        image_size=config.image_size,
        patch=patch,
        group=group,
        finished=True,
    )


def _layers(config: PolicyConfig, shapes: _Shapes) -> int:
    """Return how many layers of the decoder the model uses, and so the expert has."""
    found = shapes.layers(f'{_TEXT}layers.')
    layers = config.vlm_layers or found
    if layers > found:
        raise CheckpointError(
            f'{config.source}: num_vlm_layers: expected at most the {found} layers of the '
            f'weights, found {layers}'
        )
    expert = config.expert_layers or shapes.layers('action_head.layers.')
    if expert != layers:
        raise CheckpointError(
            f'{config.source}: expected an expert of as many layers as the VLM, {layers}, found '
            f'{expert}; experts of other depths are not run here'
        )
    return layers


def _split(config: PolicyConfig, rows: int, part: int | None, name: str) -> int:
    """Return how often a part goes into so many rows."""
    if not part or rows % part:
        raise CheckpointError(
            f'{config.source}: expected a {name} that divides {rows}, found {part}; state it as '
            f'"{OWN}": {{"{name}": N}}, since no tensor does'
        )
    return rows // part


def _given(folder: Path, raw: Mapping[str, Any], config: PolicyConfig) -> dict[str, int]:
    """Return the sizes that the folder states beside its tensors."""
    found = mapping(f'{config.source}: {OWN}', raw.get(OWN) or {})
    if unknown := found.keys() - _OWN.keys():
        raise CheckpointError(
            f'{config.source}: {OWN}: expected {", ".join(_OWN)}, found {", ".join(unknown):.80}'
        )
    vlm, manifest = folder / config.vlm / 'config.json', folder / 'manifest.json'
    if config.kind == 'smolvla' and config.vlm and vlm.is_file():
        found |= _of_vlm(vlm)
    if not found and manifest.is_file():  # of golden outputs, which LeRobot's own code wrote
        sizes = mapping(f'{manifest}: sizes', read_json(manifest).get('sizes') or {})
        names = (('vision_heads', 'v_heads'), ('head_dim', 'head_dim'))
        found = {ours: sizes[theirs] for ours, theirs in names if theirs in sizes}
    return {
        name: whole(f'{config.source}: {OWN}.{name}', one, *_OWN[name])
        for name, one in found.items()
    }


def _of_vlm(path: Path) -> dict[str, int]:
    """Return the sizes that a VLM's configuration states; refuse one that is not SmolVLM2's."""
    raw = read_json(path)
    parts = {name: mapping(f'{path}: {name}', raw.get(name) or {}) for name in _VLM}
    for name, fixed in _VLM.items():
        for key, wanted in fixed.items():
            if parts[name].get(key, wanted) != wanted:
                raise CheckpointError(
                    f'{path}: {name}.{key}: expected {wanted!r}, as SmolVLM2 has it, found '
                    f'{parts[name][key]!r:.80}'
                )
    text, vision = parts.values()
    found = {'vision_heads': vision.get('num_attention_heads'), 'head_dim': text.get('head_dim')}
    if text.get('hidden_size') and text.get('num_attention_heads') and not found['head_dim']:
        found['head_dim'] = text['hidden_size'] // text['num_attention_heads']
    return {name: one for name, one in found.items() if one is not None}
