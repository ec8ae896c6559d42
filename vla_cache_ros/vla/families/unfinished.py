# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Refuse folders that lack a part of the model that was trained, and say how to get it.

A LoRA adapter without the weights it was merged into, and OpenVLA-OFT without the files of its
head, which would else be run as OpenVLA. Code in a folder is searched for words, never run.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import re
import shlex
from typing import Any

from vla_cache_ros.vla.families.source import STATISTICS
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import read_json

NESTED = 'lora_adapter'  # where OFT's training puts it, merged weights beside
_ADAPTER = ('adapter_config.json', 'adapter_model.safetensors', 'adapter_model.bin')
_CODE = 'modeling_prismatic.py'
_WORDS = ('NUM_ACTIONS_CHUNK', '_regression_or_discrete_prediction')  # of OFT's
_CODE_BYTES = 2**20
_RUN = re.compile(
    r'(?i)(?<![a-z0-9])oft(?![a-z0-9])|parallel_dec|acts_chunk'
)  # names of OFT's runs


def refuse_adapter(folder: Path) -> None:
    """Raise CheckpointError, with the command that merges it, for an adapter without weights."""
    own = any((folder / name).exists() for name in _ADAPTER)
    nested = any((folder / NESTED / name).exists() for name in _ADAPTER)
    merged = any((folder / name).exists() for name in (weights.SINGLE, weights.INDEX))
    if not own and (merged or not nested or (folder / 'checkpoints').is_dir()):
        return
    if (folder / 'config.json').exists() and 'input_features' in read_json(folder / 'config.json'):
        raise CheckpointError(
            f'{folder}: expected merged weights, found a PEFT adapter: load it with LeRobot, call '
            'merge_and_unload(), and save what that returns'
        )
    config = (folder if own else folder / NESTED) / _ADAPTER[0]
    base = read_json(config).get('base_model_name_or_path') if config.exists() else None
    if not isinstance(base, str) or not re.fullmatch(r'[\w./-]{1,200}', base):
        base = 'openvla/openvla-7b'
    place, first = folder.absolute(), ''
    if own and folder.absolute().name == NESTED:
        place = folder.absolute().parent
    elif own:
        files, inside = shlex.quote(f'{place}/') + 'adapter_*', shlex.quote(str(place / NESTED))
        first = f'mkdir {inside} && mv {files} {inside}/ && '
    raise CheckpointError(
        f'{folder}: expected merged weights, found a LoRA adapter; merge it in a checkout of '
        f'openvla-oft: {first}python vla-scripts/merge_lora_weights_and_save.py '
        f'--base_checkpoint {base} --lora_finetuned_checkpoint_dir {shlex.quote(str(place))}'
    )


def refuse_lost_heads(folder: Path, raw: Mapping[str, Any]) -> None:
    """
    Raise CheckpointError where a folder without a head's file shows a trace of OpenVLA-OFT.

    raw: its parsed `config.json`.
    """
    trace = _trace(folder, raw)
    if trace:
        state = {'action_head': 'discrete', 'use_proprio': False}
        raise CheckpointError(
            f'{folder}: expected action_head--N_checkpoint.pt, and proprio_projector--N_checkpoint'
            f'.pt where it takes a state, since {trace}, as OpenVLA-OFT leaves it, found neither; '
            'copy them into the folder, or state in config.json what else it is: "oft": null for '
            f'OpenVLA, "oft": {json.dumps(state)} for OpenVLA-OFT without a head'
        )


def _trace(folder: Path, raw: Mapping[str, Any]) -> str:
    """Return what only OFT's training leaves, or an empty string."""
    if (folder / NESTED).is_dir():
        return f'there is a {NESTED}'
    if any(folder.glob('noisy_action_projector*.pt')):
        return 'there is a noisy_action_projector'
    for name in (folder.absolute().name, str(raw.get('_name_or_path', ''))[-200:]):
        if _RUN.search(name):
            return f'the name is {name}'
    code = folder / _CODE
    if code.is_file():
        with code.open('rb') as file:
            text = file.read(_CODE_BYTES).decode(errors='replace')
        if any(word in text for word in _WORDS):
            return f"{_CODE} is OFT's"
    if (folder / STATISTICS).exists() and _has_state(read_json(folder / STATISTICS)):
        return f'{STATISTICS} holds a robot state'  # OpenVLA's training writes zeros there
    return ''


def _has_state(norm_stats: Mapping[str, Any]) -> bool:
    """Say whether the statistics of a state hold anything but zeros."""
    for one in norm_stats.values():
        proprio = one.get('proprio') if isinstance(one, Mapping) else None
        for values in proprio.values() if isinstance(proprio, Mapping) else ():
            if isinstance(values, list) and any(
                isinstance(value, int | float) and not isinstance(value, bool) and value
                for value in values
            ):
                return True
    return False
