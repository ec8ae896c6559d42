# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how large the published SmolVLA, pi0 and pi0.5 are.

Sources: LeRobot 0.6.1, `policies/{smolvla,pi0,pi05}`; of SmolVLM2-500M the first 16 of 32 layers.
"""

from __future__ import annotations

from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.flow.config import FlowConfig
from vla_cache_ros.vla.tower_config import TowerConfig

_CAMERAS = 2  # of a robot with one at its wrist
_NUMBERS = {'proprio_dim': 8, 'action_dim': 7, 'chunk': 50}  # as LIBERO's, of the 32 there is room


def _tower(width: int, depth: int, heads: int, ratio: float, **sizes: int) -> TowerConfig:
    plain = {'class_token': False, 'reg_tokens': 0, 'layer_scale': False, 'finished': True}
    return TowerConfig('siglip', width, depth, heads, ratio, **plain, **sizes)


def _smolvla() -> VLAConfig:
    heads = {'num_heads': 15, 'kv_heads': 5, 'head_dim': 64, 'depth': 16}
    sizes = {'width': 720, 'inner': 2048, 'prompt_tokens': 48}
    return VLAConfig(
        towers=(_tower(768, 12, 12, 4.0, image_size=512, patch=16, group=4),),
        text={
            'model_type': 'llama',
            'vocab_size': 49280,
            'hidden_size': 960,
            'intermediate_size': 2560,
            'num_hidden_layers': 16,
            'num_attention_heads': 15,
            'num_key_value_heads': 5,
            'head_dim': 64,
            'rms_norm_eps': 1e-5,
            'rope_theta': 10000.0,
            'pad_token_id': 2,
        },
        head=FlowConfig('smolvla', _CAMERAS, **_NUMBERS, **heads, **sizes),
    )


def _pi(family: str, prompt_tokens: int) -> VLAConfig:
    heads = {'num_heads': 8, 'kv_heads': 1, 'head_dim': 256, 'depth': 18}
    sizes = {'width': 1024, 'inner': 4096, 'prompt_tokens': prompt_tokens}
    return VLAConfig(
        towers=(_tower(1152, 27, 16, 3.7362),),
        text={
            'model_type': 'gemma',
            'vocab_size': 257152,
            'hidden_size': 2048,
            'intermediate_size': 16384,
            'num_hidden_layers': 18,
            'num_attention_heads': 8,
            'num_key_value_heads': 1,
            'head_dim': 256,
            'rms_norm_eps': 1e-6,
            'rope_theta': 10000.0,
            'pad_token_id': 0,
        },
        head=FlowConfig(family, _CAMERAS, **_NUMBERS, **heads, **sizes),
    )


FLOW_SHAPES: dict[str, VLAConfig] = {
    'smolvla': _smolvla(),
    'pi0': _pi('pi0', 48),
    'pi05': _pi('pi05', 200),
}
