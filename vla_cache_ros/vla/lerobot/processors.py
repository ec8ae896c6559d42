# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read what LeRobot does before and after a model: both processor files and their statistics.

Every step is understood or refused by name; none is skipped. Source: LeRobot 0.6.1,
`processor/pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

import numpy as np
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import flag
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.json_file import whole
from vla_cache_ros.vla.lerobot.folder import ACTION
from vla_cache_ros.vla.lerobot.folder import camera_name
from vla_cache_ros.vla.lerobot.folder import PolicyConfig
from vla_cache_ros.vla.lerobot.folder import STATE
from vla_cache_ros.vla.lerobot.prompts import Prompting
from vla_cache_ros.vla.lerobot.scaling import FolderStatistics
from vla_cache_ros.vla.lerobot.scaling import MODES
from vla_cache_ros.vla.lerobot.scaling import Scaling

BEFORE, AFTER = 'policy_preprocessor.json', 'policy_postprocessor.json'
KEY = 'lerobot'  # the name of a folder's one data set
_MIGRATE = (
    "a folder of before LeRobot 0.4; convert it with LeRobot's "
    'processor/migrate_policy_normalization.py'
)
_NORMALIZER = ('eps', 'features', 'norm_map')
_NEWLINES = ('smolvla_new_line_processor', 'pi0_new_line_processor')
_STATE_TEXT = 'pi05_prepare_state_tokenizer_processor_step'
# step -> the keys of its configuration
_STEPS: Mapping[str, tuple[str, ...]] = {
    'rename_observations_processor': ('rename_map',),
    'to_batch_processor': (),
    'device_processor': ('device', 'float_dtype'),
    **dict.fromkeys(_NEWLINES, ()),
    _STATE_TEXT: ('max_state_dim', 'task_key'),
    'tokenizer_processor': (
        *('tokenizer_name', 'max_length', 'task_key', 'padding', 'padding_side', 'truncation'),
    ),
    'normalizer_processor': _NORMALIZER,
    'unnormalizer_processor': _NORMALIZER,
    'relative_actions_processor': ('enabled', 'exclude_joints', 'action_names'),
    'absolute_actions_processor': ('enabled',),
}


@dataclass(frozen=True)
class Processors:
    """
    Hold what is done before and after a model.

    cameras: as the robot calls them, in the model's order. action_names: of an action's numbers,
    empty where the folder does not state them.
    """

    cameras: tuple[str, ...]
    action_names: tuple[str, ...]
    prompting: Prompting
    statistics: FolderStatistics

    def __str__(self) -> str:
        """Return in words which cameras, state and actions there are, and how they are scaled."""
        found = self.statistics
        place = ' in the prompt' if self.prompting.state else ''
        names = f' ({", ".join(self.action_names)})' if self.action_names else ''
        plural = 's' if len(self.cameras) > 1 else ''
        relative = '' if found.relative is None else f', {found.relative.sum()} relative to it'
        return (
            f'{len(self.cameras)} camera{plural} ({", ".join(self.cameras)}), robot state of '
            f'{len(found.proprio)}{place} ({found.proprio.mode}), actions of '
            f'{len(found.action)} numbers{names} ({found.action.mode}{relative})'
        )


@dataclass(frozen=True)
class _Step:
    place: str
    index: int
    config: Mapping[str, Any]
    state: Path | None


def read_processors(folder: Path, config: PolicyConfig) -> Processors:
    """
    Return what a folder's two processor files state.

    Raises CheckpointError naming the file and step for one that is unknown, missing or has no
    statistics.
    """
    for name in (BEFORE, AFTER):
        if not (folder / name).exists():
            raise CheckpointError(f'{folder}: expected {name}, found none: {_MIGRATE}')
    before, after = _steps(folder / BEFORE), _steps(folder / AFTER)
    prompting = _prompting(folder, config, before)
    normalizer = _need(folder / BEFORE, before, 'normalizer_processor')
    unnormalizer = _need(folder / AFTER, after, 'unnormalizer_processor')
    modes = _modes(normalizer)
    if modes.get('VISUAL', 'IDENTITY') != 'IDENTITY':
        raise CheckpointError(
            f'{normalizer.place}: norm_map: VISUAL: expected IDENTITY, found {modes["VISUAL"]!r}; '
            'pictures scaled by statistics are not run here'
        )
    relative, names = _relative(config, before, after)
    return Processors(
        cameras=_cameras(folder / BEFORE, config, before),
        action_names=names,
        prompting=prompting,
        statistics=FolderStatistics(
            key=KEY,
            action=_scaling(unnormalizer, 'ACTION', ACTION, config.action),
            proprio=_scaling(normalizer, 'STATE', STATE, config.state),
            relative=relative,
        ),
    )


def _steps(path: Path) -> dict[str, _Step]:
    """Return the steps of a file by name, all of them known and none there twice."""
    listed = read_json(path).get('steps')
    if not isinstance(listed, list):
        raise CheckpointError(f'{path}: steps: expected a list, found {listed!r:.80}')
    found: dict[str, _Step] = {}
    for index, one in enumerate(listed):
        raw = mapping(f'{path}: steps[{index}]', one)
        name = str(raw.get('registry_name', raw.get('class')))
        place = f'{path}: steps[{index}] {name}'
        if name not in _STEPS:
            raise CheckpointError(
                f'{place}: expected one of {", ".join(_STEPS)}, found a step that is not known '
                'here, and is not left out in silence'
            )
        if name in found:
            raise CheckpointError(f'{place}: expected this step once, found it twice')
        config = mapping(f'{place}: config', raw.get('config') or {})
        if unknown := sorted(config.keys() - _STEPS[name]):
            raise CheckpointError(
                f'{place}: config: expected {", ".join(_STEPS[name]) or "no keys"}, found '
                f'{", ".join(unknown):.200}, which is not known here'
            )
        file = raw.get('state_file')
        if file is not None and not re.fullmatch(r'[\w.+-]+\.safetensors', str(file)):
            raise CheckpointError(
                f'{place}: state_file: expected a .safetensors file beside it, found {file!r:.80}'
            )
        found[name] = _Step(place, index, config, path.parent / file if file else None)
    return found


def _need(path: Path, steps: Mapping[str, _Step], name: str) -> _Step:
    if name not in steps:
        raise CheckpointError(
            f'{path}: expected the step {name}, found {", ".join(steps) or "none"}'
        )
    return steps[name]


def _prompting(folder: Path, config: PolicyConfig, steps: Mapping[str, _Step]) -> Prompting:
    """Return how prompts are made; the order of the steps that do it is LeRobot's or refused."""
    path = folder / BEFORE
    tokenizer = _need(path, steps, 'tokenizer_processor')
    order = []
    if config.kind == 'pi05':
        order = [_need(path, steps, name) for name in ('normalizer_processor', _STATE_TEXT)]
    else:
        name = next((one for one in _NEWLINES if one in steps), _NEWLINES[config.kind == 'pi0'])
        order = [_need(path, steps, name)]
    extra = [name for name in (*_NEWLINES, _STATE_TEXT)
             if name in steps and steps[name] not in order]  # fmt: skip
    places = [step.index for step in (*order, tokenizer)]
    if extra or places != sorted(places):
        raise CheckpointError(
            f'{path}: expected the steps that make a prompt as LeRobot has them for '
            f'{config.kind}, found {", ".join(steps)}'
        )
    given, place = tokenizer.config, tokenizer.place
    if given.get('padding_side', 'right') != 'right':
        raise CheckpointError(
            f'{place}: padding_side: expected right, found {given["padding_side"]!r:.80}'
        )
    return Prompting(
        state=config.state if config.kind == 'pi05' else 0,
        tokenizer=str(given.get('tokenizer_name') or ''),
        longest=whole(f'{place}: max_length', given.get('max_length', 512), 1, 4096),
    )


def _cameras(path: Path, config: PolicyConfig, steps: Mapping[str, _Step]) -> tuple[str, ...]:
    """Return what the robot calls the model's cameras."""
    step = steps.get('rename_observations_processor')
    given = {} if step is None else step.config.get('rename_map') or {}
    renamed = mapping(f'{path}: rename_map', given)
    back = {str(new): old for old, new in renamed.items()}
    known = {*config.cameras, STATE}
    if len(back) < len(renamed) or not known.issuperset(back):
        raise CheckpointError(
            f'{path}: rename_map: expected names of features once each, {", ".join(known)}, found '
            f'{renamed!r:.200}'
        )
    return tuple(camera_name(back.get(name, name)) for name in config.cameras)


def _relative(
    config: PolicyConfig, before: Mapping[str, _Step], after: Mapping[str, _Step]
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return which numbers of an action are relative to the state, and their names."""
    steps = [
        steps.get(name)
        for steps, name in (
            (before, 'relative_actions_processor'),
            (after, 'absolute_actions_processor'),
        )
    ]
    enabled = [
        step is not None and flag(f'{step.place}: enabled', step.config.get('enabled', False))
        for step in steps
    ]
    if len({*enabled, config.relative}) > 1:
        raise CheckpointError(
            f'{config.source.parent}: expected relative actions in both processors and in '
            f'use_relative_actions, or in none, found {enabled[0]}, {enabled[1]} and '
            f'{config.relative}'
        )
    given: Mapping[str, Any] = {} if steps[0] is None else steps[0].config
    names = given.get('action_names') or config.action_names
    excluded = given.get('exclude_joints') or ()
    for what, one in (('action_names', names), ('exclude_joints', excluded)):
        if not isinstance(one, list | tuple) or not all(isinstance(text, str) for text in one):
            raise CheckpointError(
                f'{config.source.parent}: {what}: expected names, found {one!r:.80}'
            )
    if names and len(names) != config.action:
        raise CheckpointError(
            f'{config.source.parent}: action_names: expected {config.action}, found {len(names)}'
        )
    if not enabled[0]:
        return None, tuple(names)
    if config.state < config.action:
        raise CheckpointError(
            f'{config.source.parent}: expected a state of at least the {config.action} numbers of '
            f'an action that is relative to it, found {config.state}'
        )
    words = [word.lower() for word in excluded if word]
    named = given.get('action_names') or [''] * config.action
    kept = [any(word in name.lower() for word in words) for name in named]
    return ~np.array(kept), tuple(names)


def _modes(step: _Step) -> dict[str, Any]:
    return mapping(f'{step.place}: norm_map', step.config.get('norm_map'))


def _scaling(step: _Step, kind: str, feature: str, size: int) -> Scaling:
    """Return how a feature is normalised, by the statistics of a step's file."""
    mode = _modes(step).get(kind)
    if mode not in MODES:
        raise CheckpointError(
            f'{step.place}: norm_map: {kind}: expected one of {", ".join(MODES)}, found {mode!r}'
        )
    epsilon = number(f'{step.place}: eps', step.config.get('eps', 1e-8), 0.0, 1.0)
    if mode == 'IDENTITY':
        return Scaling(mode, np.zeros(size), np.ones(size), epsilon)
    found = {} if step.state is None else dict(weights.read_safetensors(step.state))
    wanted = [f'{feature}.{statistic}' for statistic in MODES[mode]]
    features = mapping(f'{step.place}: features', step.config.get('features') or {})
    if feature not in features or any(name not in found for name in wanted):
        keys = ', '.join(sorted(found)) or 'none'
        raise CheckpointError(
            f'{step.place}: expected the statistics {" and ".join(wanted)} of a feature '
            f'{feature}, found {keys:.400}: a base checkpoint knows no units; fine-tune it with '
            'LeRobot, or write the statistics of your data under these names'
        )
    values = [found[name].double().numpy() for name in wanted]
    for name, one in zip(wanted, values, strict=True):
        if one.shape != (size,) or not np.isfinite(one).all():
            raise CheckpointError(
                f'{step.state}: {name}: expected {size} finite numbers, found {_flat(one)}'
            )
    return Scaling(mode, *values, epsilon)


def _flat(values: np.ndarray) -> str:
    return f'{values.tolist()!r:.120}'
