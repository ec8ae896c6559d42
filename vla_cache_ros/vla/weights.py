# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write tensors of a checkpoint folder, strictly.

A missing, surplus or misshapen tensor, a truncated or absent file is a CheckpointError that names
it. Knows the files' formats; knows nothing of the model beyond the names and shapes it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
import pickle

from safetensors import safe_open
from safetensors import SafetensorError
import torch
from torch import Tensor
from vla_cache_ros.vla.errors import CheckpointError
from vla_cache_ros.vla.json_file import read_json

SINGLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
_SHOWN = 5


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model: those of its index, or the single one."""
    if (folder / INDEX).exists():
        index = read_json(folder / INDEX)
        if not index.get('weight_map'):
            raise CheckpointError(f"{folder / INDEX}: expected the key 'weight_map', found none")
        return [folder / name for name in sorted(set(index['weight_map'].values()))]
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    raise CheckpointError(f'{folder}: expected {SINGLE} or {INDEX}, found neither')


def read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of one file; raises CheckpointError if absent or damaged."""
    if not path.exists():
        raise CheckpointError(f'expected the file {path}, found none')
    try:
        with safe_open(path, framework='pt') as file:
            for name in file.keys():  # noqa: SIM118 - the handle is no mapping
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'{path}: expected a complete safetensors file, found a damaged one ({error}); '
            'fetch it again'
        ) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """
    Read a `.pt` file of tensors, without the `module.` prefix of distributed training.

    Only tensors are unpickled (`weights_only`). Raises CheckpointError for anything else.
    """
    state = _unpickled(path)
    if not _holds_tensors(state):
        raise CheckpointError(f'{path}: expected a dict of tensors, found {type(state).__name__}')
    return {name.removeprefix('module.'): tensor for name, tensor in state.items()}


def read_modules(path: Path) -> dict[str, dict[str, Tensor]]:
    """
    Read a Prismatic `.pt` file: under `model` one state dict for each module.

    Only tensors are unpickled, from the mapped file: the largest has 30 GB. Raises CheckpointError
    for anything else.
    """
    state = _unpickled(path, mapped=True)
    modules = state.get('model') if isinstance(state, dict) else None
    if not isinstance(modules, dict) or not all(map(_holds_tensors, modules.values())):
        raise CheckpointError(
            f"{path}: expected the key 'model' with a dict of tensors for each module, found "
            f'{sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__}'
        )
    return {str(name): dict(tensors) for name, tensors in modules.items()}


def _unpickled(path: Path, mapped: bool = False) -> object:
    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise CheckpointError(
            f'{path}: expected a complete file of tensors, found a damaged one ({reason})'
        ) from error


def _holds_tensors(state: object) -> bool:
    return isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values())


def collect(
    expected: Mapping[str, torch.Size],
    tensors: Iterator[tuple[str, Tensor]],
    dtype: torch.dtype,
    source: str,
) -> dict[str, Tensor]:
    """
    Gather exactly the expected tensors, cast to `dtype`.

    Raises CheckpointError naming every tensor that is missing, surplus or of another shape.
    """
    state: dict[str, Tensor] = {}
    surplus, misshapen = [], []
    for name, tensor in tensors:
        if name not in expected:
            surplus.append(name)
        elif tensor.shape != expected[name]:
            misshapen.append(f'{name} expected {list(expected[name])} found {list(tensor.shape)}')
        elif name in state:
            raise CheckpointError(f'{source}: expected {name} once, found it twice')
        else:
            state[name] = tensor.to(dtype)
    shapeless = {text.split(' ')[0] for text in misshapen}
    missing = [name for name in expected if name not in state and name not in shapeless]
    problems = [('missing', missing), ('surplus', surplus), ('misshapen', misshapen)]
    found = '; '.join(f'{kind}: {_short(names)}' for kind, names in problems if names)
    if found:
        raise CheckpointError(
            f'{source}: expected exactly the {len(expected)} tensors of its configuration, '
            f'found {found}'
        )
    return state


def _short(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
