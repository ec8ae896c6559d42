# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read OpenVLA-OFT: OpenVLA's folder, and beside it `.pt` files of a head and a proprio projector.

What they hold decides what the published `config.json` does not say. Knows no other family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import chain
import json
from pathlib import Path
from typing import Any

from torch import Tensor
from vla_cache_ros.vla.config import OftConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.families import film
from vla_cache_ros.vla.families.source import base_tensors
from vla_cache_ros.vla.families.source import HEADS
from vla_cache_ros.vla.families.source import MODULES
from vla_cache_ros.vla.families.source import Source
from vla_cache_ros.vla.families.source import split_modules
from vla_cache_ros.vla.families.source import statistics
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.images import ImagePreprocessor

# What only a head's kind tells, or nothing at all: OFT's own evaluation takes it from options.
_NOWHERE = ('num_images', 'chunk', 'action_dim', 'action_head', 'normalization')


class OpenVLAOFT:
    """Read what has the key `oft` in `config.json`, or a file of a head."""

    name = 'openvla-oft'

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return whether the folder is OFT's; raises CheckpointError for two files of a head."""
        if raw.get('oft') is not None or (folder / HEADS).exists():
            return True
        return any(find_module_file(folder, module) for module in (*MODULES, film.MODULE))

    def read(
        self, folder: Path, raw: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> Source:
        """
        Read the folder; `given` replaces fields of OftConfig.

        Raises CheckpointError for a diffusion head, which this package does not run.
        """
        config = VLAConfig.from_dict(raw, str(folder))
        files = {module: find_module_file(folder, module) for module in MODULES}
        states = {module: weights.read_state_dict(path) for module, path in files.items() if path}
        if not states and (folder / HEADS).exists():
            states = split_modules(folder / HEADS)
        towers = find_module_file(folder, film.MODULE)
        stated = {**({'film': True} if towers else {}), **(raw.get('oft') or {}), **(given or {})}
        norm_stats = statistics(folder, config.norm_stats)
        oft, assumed = infer_oft(config, states, stated, norm_stats)
        if oft.action_head == 'diffusion':
            raise CheckpointError(
                f'{folder}: expected an L1 or discrete action head, found a diffusion head, '
                'which this package does not run'
            )
        needed = {'action_head': oft.action_head == 'l1', 'proprio_projector': oft.use_proprio}
        used = [module for module in MODULES if needed[module]]
        paths = [files[module] or folder / HEADS for module in used]
        base_files = weights.weight_files(folder)
        base = base_tensors(base_files)
        if towers:
            base = chain(
                ((name, tensor) for name, tensor in base if not name.startswith(film.MODULE)),
                film.film_tensors(towers),
            )
        return Source(
            config=config.with_oft(oft),
            base=base,
            heads=((f'{m}.{k}', v) for m in used for k, v in states.get(m, {}).items()),
            base_name=f'{folder} and {towers.name}' if towers else str(folder),
            heads_name=' and '.join(str(path) for path in paths),
            files=(*base_files, *set(paths), *([towers] if towers else [])),
            images=ImagePreprocessor.from_pretrained(folder, len(config.towers)),
            norm_stats=norm_stats,
            assumed=assumed and f'{OpenVLAOFT.name}: {assumed}',
        )


def find_module_file(folder: Path, module: str) -> Path | None:
    """
    Return OFT's `{module}--{N}_checkpoint.pt` (or any one `.pt` of both words), None without.

    Raises CheckpointError if there are several.
    """
    found = sorted(p for p in folder.glob(f'*{module}*checkpoint*.pt'))
    # 'noisy_action_projector' and the like hold other modules
    found = [p for p in found if p.name.startswith(module)] or found
    if len(found) > 1:
        names = [p.name for p in found]
        raise CheckpointError(f'{folder}: expected one file for {module}, found {names}')
    return found[0] if found else None


def infer_oft(
    config: VLAConfig,
    states: Mapping[str, Mapping[str, Tensor]],
    stated: Mapping[str, Any],
    norm_stats: Mapping[str, Any],
) -> tuple[OftConfig, str]:
    """
    Return the OFT configuration, and a warning of what in it is assumed, or an empty string.

    What is stated decides; the modules found say what it leaves open (their shapes give sizes),
    then the statistics.
    """
    known = [field.name for field in fields(OftConfig)]
    if strange := [name for name in stated if name not in known]:
        raise CheckpointError(f'oft: expected keys among {known}, found {strange[0]!r:.80}')
    found: dict[str, Any] = {}
    head, proprio = states.get('action_head', {}), states.get('proprio_projector', {})
    if head:
        diffusion = any(k.startswith('noise_predictor.') for k in head)
        found['action_head'] = 'diffusion' if diffusion else 'l1'
    if 'model.fc2.bias' in head:
        bias = head['model.fc2.bias']
        (found['action_dim'],) = weights.shape_of('action_head', 'model.fc2.bias', bias, 1)
    elif sizes := {len(one) for one in map(_action_bounds, norm_stats.values()) if one}:
        found['action_dim'] = sizes.pop()
    found['use_proprio'] = bool(proprio)
    if 'fc1.weight' in proprio:
        name = 'fc1.weight'
        shape = weights.shape_of('proprio_projector', name, proprio[name], 2)
        found['proprio_dim'] = shape[1]
    found.update(stated)
    open_ = {name: getattr(OftConfig, name) for name in _NOWHERE if name not in found}
    if 'action_head' in open_:
        open_['action_head'] = 'discrete'
    return OftConfig(**{**found, **open_}), _warning(open_)


def _action_bounds(one: object) -> list | None:
    """Return a list as long as an action from the statistics of one data set."""
    action = one.get('action') if isinstance(one, Mapping) else None
    bounds = action.get('q01') if isinstance(action, Mapping) else None
    return bounds if isinstance(bounds, list) else None


def _warning(assumed: Mapping[str, Any]) -> str:
    if not assumed:
        return ''
    said = ', '.join(f'{name} {value}' for name, value in assumed.items())
    example = {name: value for name, value in assumed.items() if name != 'normalization'}
    return (
        f'nothing in the folder states {said}, the defaults of OpenVLA-OFT for LIBERO, which are '
        'assumed; where it was trained otherwise, say so under the key "oft" of config.json, as '
        f'{json.dumps(example or dict(assumed))}, or behind the name of the checkpoint, as in '
        'FOLDER,num_images=1,chunk=25'
    )
