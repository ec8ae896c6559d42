# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read the `config.json` of a policy that LeRobot saved: cameras, state, actions, denoising.

Knows neither tensors nor processors. Source: LeRobot 0.6.1, `configs/policies.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import flag
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import whole
from vla_cache_ros.vla.lerobot.keys import check_keys

STATE = 'observation.state'
ACTION = 'action'
_EMPTY = r'observation\.images\.empty_camera_\d+'  # LeRobot's padding, which no robot has
_CAMERA = r'observation\.(images\.)?[^.\s]+'
_MOST = 2**16


@dataclass(frozen=True)
class PolicyConfig:
    """
    Hold what `config.json` states of a policy.

    kind: its type. image_size: pixels of a picture's sides. cameras: names of the features, in
    the order of the prefix. state, action: numbers; state_size, action_size: what the model pads
    them to. chunk: actions of an inference. steps: of the denoising. min_period, max_period: of
    the time's embedding. vlm_layers: how many the model takes of those in the file, None for all.
    expert_layers: None where as many. vlm: name of the model that the prefix was made of.
    relative: whether actions are relative to the state. action_names: where stated.
    """

    source: Path
    kind: str
    image_size: int
    cameras: tuple[str, ...]
    state: int
    action: int
    state_size: int
    action_size: int
    chunk: int
    steps: int
    min_period: float
    max_period: float
    vlm_layers: int | None
    expert_layers: int | None
    vlm: str
    relative: bool
    action_names: tuple[str, ...]


def read_config(folder: Path, raw: Mapping[str, Any]) -> PolicyConfig:
    """
    Return what a parsed `config.json` states.

    Raises CheckpointError naming the key for what is unknown, contradicts or is not run here.
    """
    check_keys(folder, raw)
    source = folder / 'config.json'
    inputs, outputs = (
        _features(source, raw, key) for key in ('input_features', 'output_features')
    )
    cameras = tuple(name for name, one in inputs.items() if one == ('VISUAL', None))
    cameras = tuple(name for name in cameras if not re.fullmatch(_EMPTY, name))
    others = [name for name, (kind, _) in inputs.items() if kind != 'VISUAL' and name != STATE]
    others += [name for name in outputs if name != ACTION]
    if others:
        raise CheckpointError(
            f'{source}: expected cameras, {STATE} and {ACTION} as features, found '
            f'{", ".join(others):.200}, which LeRobot gives to none of these models'
        )
    for name, found in ((STATE, inputs), (ACTION, outputs)):
        if name not in found:
            raise CheckpointError(
                f'{source}: expected the feature {name}, found '
                f'{", ".join(found) or "no features":.200}: a base checkpoint knows no robot; '
                'fine-tune it with LeRobot first'
            )
    if not cameras:
        raise CheckpointError(f'{source}: input_features: expected a camera, found none')
    sizes = {key: whole(f'{source}: {key}', raw.get(key, 32), 1, 1024)
             for key in ('max_state_dim', 'max_action_dim')}  # fmt: skip
    for name, size, most in (
        (STATE, inputs[STATE][1], sizes['max_state_dim']),
        (ACTION, outputs[ACTION][1], sizes['max_action_dim']),
    ):
        if size > most:
            raise CheckpointError(
                f'{source}: {name}: expected at most {most} numbers, which the model pads to, '
                f'found {size}'
            )
    steps = 'num_steps' if raw['type'] == 'smolvla' else 'num_inference_steps'
    names = raw.get('action_feature_names') or ()
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        raise CheckpointError(
            f'{source}: action_feature_names: expected names, found {names!r:.80}'
        )
    return PolicyConfig(
        source=source,
        kind=raw['type'],
        image_size=_image_size(source, raw),
        cameras=cameras,
        state=inputs[STATE][1],
        action=outputs[ACTION][1],
        state_size=sizes['max_state_dim'],
        action_size=sizes['max_action_dim'],
        chunk=whole(f'{source}: chunk_size', raw.get('chunk_size', 50), 1, 1024),
        steps=whole(f'{source}: {steps}', raw.get(steps, 10), 1, 1000),
        min_period=number(f'{source}: min_period', raw.get('min_period', 4e-3), 1e-9, 1e9),
        max_period=number(f'{source}: max_period', raw.get('max_period', 4.0), 1e-9, 1e9),
        vlm_layers=_layers(source, raw, 'num_vlm_layers', 16),
        expert_layers=_layers(source, raw, 'num_expert_layers', -1),
        vlm=str(raw.get('vlm_model_name', '')),
        relative=flag(f'{source}: use_relative_actions', raw.get('use_relative_actions', False)),
        action_names=tuple(names),
    )


def camera_name(feature: str) -> str:
    """Return what a camera is called: its feature without what all features begin with."""
    return feature.removeprefix('observation.').removeprefix('images.')


def _features(source: Path, raw: Mapping[str, Any], key: str) -> dict[str, tuple[str, int | None]]:
    """Return kind and, but for cameras, length of each feature, in the file's order."""
    found: dict[str, tuple[str, int | None]] = {}
    for name, one in mapping(f'{source}: {key}', raw.get(key) or {}).items():
        place = f'{source}: {key}: {name or "a feature without a name"}'
        facts = mapping(place, one)
        kind, shape = facts.get('type'), facts.get('shape')
        length = 3 if kind == 'VISUAL' else 1
        if kind not in ('VISUAL', 'STATE', 'ACTION', 'ENV'):
            raise CheckpointError(f'{place}: expected a type, found {kind!r:.80}')
        if kind == 'VISUAL' and not re.fullmatch(_CAMERA, name):
            raise CheckpointError(f'{place}: expected a camera called observation.images.NAME')
        if not isinstance(shape, list) or len(shape) != length:
            raise CheckpointError(f'{place}: expected a shape of {length}, found {shape!r:.80}')
        sizes = [whole(f'{place}: shape', size, 1, _MOST) for size in shape]
        found[name] = kind, None if kind == 'VISUAL' else sizes[0]
    return found


def _image_size(source: Path, raw: Mapping[str, Any]) -> int:
    """Return the pixels of the square that pictures are fitted into."""
    smolvla = raw['type'] == 'smolvla'
    key = 'resize_imgs_with_padding' if smolvla else 'image_resolution'
    found = raw.get(key, [512, 512] if smolvla else [224, 224])
    if not isinstance(found, list) or len(found) != 2 or found[0] != found[1]:
        raise CheckpointError(
            f'{source}: {key}: expected the sides of a square, found {found!r:.80}'
        )
    return whole(f'{source}: {key}', found[0], 1, 4096)


def _layers(source: Path, raw: Mapping[str, Any], key: str, default: int) -> int | None:
    """Return a number of layers; 0 and -1 stand for all."""
    found = whole(f'{source}: {key}', raw.get(key, default), -1, 256)
    return found if found > 0 and raw['type'] == 'smolvla' else None
