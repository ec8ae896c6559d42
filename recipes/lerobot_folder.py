# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a pi0.5 of any size as LeRobot writes one: the inverse of `vla_cache_ros.vla.lerobot`.

A folder has the tokenizer beside it, and in config.json under `vla_cache_ros` what no tensor's
shape tells. Knows nothing of training. Source: LeRobot 0.6.1, `policies/pi05`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
import re

import numpy as np
from safetensors.torch import save_file
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from vla_cache_ros.vla.model import VLAModel

_VLM = 'paligemma_with_expert.paligemma.model.'
_TOWER = f'{_VLM}vision_tower.vision_model.'
# In order; every name is rewritten by all that match.
_RENAMED = (
    (r'^vision_backbone\.featurizer\.', _TOWER),
    (r'vision_model\.pos_embed$', 'vision_model.embeddings.position_embedding.weight'),
    (r'vision_model\.patch_embed\.proj\.', 'vision_model.embeddings.patch_embedding.'),
    (r'vision_model\.norm\.', 'vision_model.post_layernorm.'),
    (r'vision_model\.blocks\.', 'vision_model.encoder.layers.'),
    (r'(encoder\.layers\.\d+)\.norm([12])\.', r'\1.layer_norm\2.'),
    (r'(encoder\.layers\.\d+)\.attn\.proj\.', r'\1.self_attn.out_proj.'),
    (r'(encoder\.layers\.\d+)\.attn\.qkv\.', r'\1.self_attn.*_proj.'),
    (r'^projector\.', f'{_VLM}multi_modal_projector.linear.'),
    (r'^language_model\.model\.', f'{_VLM}language_model.'),
    (r'^action_head\.(layers|norm)\.', r'paligemma_with_expert.gemma_expert.model.\1.'),
    (r'^action_head\.', ''),
)
_MODES = {'VISUAL': 'IDENTITY', 'STATE': 'QUANTILES', 'ACTION': 'QUANTILES'}
_NORMALIZER = 'policy_preprocessor_step_3_normalizer_processor.safetensors'
_UNNORMALIZER = 'policy_postprocessor_step_0_unnormalizer_processor.safetensors'


def lerobot_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a pi0.5's `VLAModel` by the names that LeRobot has for them."""
    named: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, text in _RENAMED:
            name = re.sub(pattern, text, name)
        name = f'model.{name}'
        if '*' in name:
            for letter, third in zip('qkv', tensor.chunk(3), strict=True):
                named[name.replace('*', letter)] = third
        else:
            named[name] = tensor[0] if 'position_embedding' in name else tensor
    return named


def save_lerobot_folder(
    folder: Path,
    model: VLAModel,
    statistics: Mapping[str, Mapping[str, Sequence[float]]],
    tokenizer: PreTrainedTokenizerFast,
    cameras: Sequence[str],
    execute_steps: int,
) -> None:
    """
    Write model, statistics and tokenizer, weights in bfloat16.

    statistics: `action` and `proprio`, of each q01, q99 and what else is known. cameras: names in
    the order of the prefix. execute_steps: actions of a chunk to carry out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in lerobot_tensors(model.state_dict()).items()
    }
    save_file(tensors, folder / 'model.safetensors')
    size, flow = model.config.image_size, model.config.flow
    inputs = {
        f'observation.images.{name}': {'type': 'VISUAL', 'shape': [3, size, size]}
        for name in cameras
    }
    inputs['observation.state'] = {'type': 'STATE', 'shape': [flow.proprio_dim]}
    outputs = {'action': {'type': 'ACTION', 'shape': [flow.action_dim]}}
    heads = model.config.towers[0].num_heads
    config = {
        'type': 'pi05',
        'n_obs_steps': 1,
        'input_features': inputs,
        'output_features': outputs,
        'device': 'cpu',
        'dtype': 'bfloat16',
        'chunk_size': flow.chunk,
        'n_action_steps': execute_steps,
        'max_state_dim': flow.state_size,
        'max_action_dim': flow.action_size,
        'num_inference_steps': flow.steps,
        'min_period': flow.min_period,
        'max_period': flow.max_period,
        'use_relative_actions': False,
        'image_resolution': [size, size],
        'empty_cameras': 0,
        'tokenizer_max_length': flow.prompt_tokens,
        'normalization_mapping': _MODES,
        'vla_cache_ros': {'vision_heads': heads},
    }
    normalize = {'eps': 1e-8, 'features': inputs | outputs, 'norm_map': _MODES}
    tokenize = {
        'max_length': flow.prompt_tokens,
        'task_key': 'task',
        'padding_side': 'right',
        'padding': 'max_length',
        'truncation': True,
        'tokenizer_name': '.',
    }
    before = [
        _step('rename_observations_processor', rename_map={}),
        _step('to_batch_processor'),
        _step('relative_actions_processor', enabled=False, exclude_joints=[], action_names=None),
        _step('normalizer_processor', **normalize) | {'state_file': _NORMALIZER},
        _step('pi05_prepare_state_tokenizer_processor_step'),
        _step('tokenizer_processor', **tokenize),
        _step('device_processor', device='cpu', float_dtype=None),
    ]
    after = [
        _step('unnormalizer_processor', **normalize | {'features': outputs})
        | {'state_file': _UNNORMALIZER},
        _step('absolute_actions_processor', enabled=False),
        _step('device_processor', device='cpu', float_dtype=None),
    ]
    _write(folder / 'config.json', config)
    for name, steps in (('policy_preprocessor', before), ('policy_postprocessor', after)):
        _write(folder / f'{name}.json', {'name': name, 'steps': steps})
    known = {'action': 'action', 'observation.state': 'proprio'}
    values = {
        f'{feature}.{key}': torch.from_numpy(np.asarray(column, np.float32))
        for feature, name in known.items()
        for key, column in statistics[name].items()
        if key != 'mask'
    }
    for file in (_NORMALIZER, _UNNORMALIZER):
        save_file(values, folder / file)
    tokenizer.save_pretrained(folder)


def _step(name: str, **config: object) -> dict:
    return {'registry_name': name, 'config': config}


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1) + '\n')
