# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which keys LeRobot's `config.json` has, which of them may have one value alone, and which not.

Source: LeRobot 0.4 to 0.6.2, `policies/{smolvla,pi0,pi05}/configuration_*.py`. What decides over
actions is read, refused or fixed here; what says how a policy is trained or run is left aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError

TYPES = ('smolvla', 'pi0', 'pi05')
OWN = 'vla_cache_ros'  # a key of ours: sizes that no tensor's shape gives

_READ = {
    *('type', 'input_features', 'output_features', 'chunk_size', 'max_state_dim', OWN),
    *('max_action_dim', 'min_period', 'max_period', 'action_feature_names'),
    *('use_relative_actions',),
}
_READ_TOO = {
    'smolvla': {
        *('num_steps', 'num_vlm_layers', 'num_expert_layers', 'vlm_model_name'),
        'resize_imgs_with_padding',
    },
    'pi0': {'num_inference_steps', 'image_resolution'},
    'pi05': {'num_inference_steps', 'image_resolution'},
}
_ASIDE = {
    # where and how it is run, and by whom it was published
    *('device', 'dtype', 'use_amp', 'use_cache', 'compile_model', 'compile_mode'),
    *('push_to_hub', 'repo_id', 'private', 'tags', 'license', 'n_action_steps', 'rtc_config'),
    *('pretrained_path', 'pretrained_revision', 'load_vlm_weights'),
    # how it was trained
    *('freeze_vision_encoder', 'fine_tune_vision_encoder', 'vision_encoder_lr_multiplier'),
    *('train_expert_only', 'train_state_proj', 'gradient_checkpointing'),
    *('optimizer_lr', 'optimizer_betas', 'optimizer_eps', 'optimizer_weight_decay'),
    *('optimizer_grad_clip_norm', 'optimizer_fused', 'scheduler_warmup_steps'),
    *('scheduler_decay_steps', 'scheduler_decay_lr', 'time_sampling_beta_alpha'),
    *('time_sampling_beta_beta', 'time_sampling_scale', 'time_sampling_offset'),
    # what the processors or the tensors' shapes say with more authority
    *('normalization_mapping', 'tokenizer_max_length', 'pad_language_to', 'prefix_length'),
    *('expert_width_multiplier', 'paligemma_variant', 'action_expert_variant'),
    *('relative_exclude_joints', 'empty_cameras'),
}
_MERGE = (
    'a PEFT adapter: load it with LeRobot, call merge_and_unload(), and save what that returns'
)
# key -> the one value that is run here, and what another one means
_FIXED: Mapping[str, tuple[Any, str]] = {
    'use_peft': (False, _MERGE),
    'adapt_to_pi_aloha': (False, "joints and grippers in pi's own space are not converted here"),
    'use_delta_joint_actions_aloha': (False, 'LeRobot itself does not run this'),
    'add_image_special_tokens': (False, 'tokens around pictures are not run here'),
    'attention_mode': ('cross_attn', 'experts that attend otherwise are not run here'),
    'self_attn_every_n_layers': (2, 'experts of other layers are not run here'),
    'n_obs_steps': (1, 'several observations at once are not run here'),
    'rtc_training_max_delay': (0, 'chunks that begin with executed actions are not run here'),
}


def check_keys(folder: Path, raw: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a type, a key or a value that nothing here runs."""
    source, kind = folder / 'config.json', raw.get('type')
    if kind not in TYPES:
        raise CheckpointError(
            f'{source}: type: expected one of {", ".join(TYPES)}, found {kind!r:.80}; other '
            'policies of LeRobot are not run here'
        )
    known = {*_READ, *_READ_TOO[kind], *_ASIDE, *_FIXED}
    if unknown := sorted(raw.keys() - known):
        raise CheckpointError(
            f'{source}: expected keys of LeRobot 0.4 to 0.6, found {", ".join(unknown):.200}, '
            'whose meaning is not known here; take out what does not change actions'
        )
    for key, (wanted, meaning) in _FIXED.items():
        if key in raw and raw[key] != wanted:
            raise CheckpointError(
                f'{source}: {key}: expected {_text(wanted)}, found {_text(raw[key]):.80}: '
                f'{meaning}'
            )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
