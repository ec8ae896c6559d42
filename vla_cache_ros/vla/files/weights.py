# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read and write tensors of a checkpoint folder, strictly.

A missing, surplus or misshapen tensor, a truncated or absent file is a CheckpointError that names
it. Knows the files' formats; knows nothing of the model beyond the names and shapes it is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from io import RawIOBase
import json
import math
from pathlib import Path
import re
from types import MappingProxyType

import torch
from torch import Tensor
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import check_size
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.pickled import read_pickled
from vla_cache_ros.vla.quantized import held

SINGLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
_SHOWN = 5
_HEADER = 16 * 2**20  # bytes; a 7B model's has 0.1 MB
_LARGEST = 2**40
_SHARDS = 1024
# what the header of a file that is no safetensors file may raise; memory that does not suffice is
# none of it
_GARBAGE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_DTYPES = {
    'F64': torch.float64, 'F32': torch.float32, 'F16': torch.float16, 'BF16': torch.bfloat16,
    'I64': torch.int64, 'I32': torch.int32, 'I16': torch.int16, 'I8': torch.int8,
    'U8': torch.uint8, 'BOOL': torch.bool, 'F8_E4M3': torch.float8_e4m3fn,
    'F8_E5M2': torch.float8_e5m2,
}  # fmt: skip


@contextmanager
def unchanged(folder: Path, patterns: Iterable[str]) -> Iterator[None]:
    """Raise CheckpointError at the end if files of these names were written or replaced inside."""
    patterns = tuple(patterns)
    before = _stamps(folder, patterns)
    yield
    after = _stamps(folder, patterns)
    changed = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
    if changed:
        raise CheckpointError(
            f'{", ".join(changed)}: expected files that stay as they are while they are read, '
            'found them changed; load again once they are complete'
        )


def _stamps(folder: Path, patterns: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in {path for pattern in patterns for path in folder.glob(pattern)}:
        facts = path.stat()
        found[str(path)] = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
    return found


def weight_files(folder: Path) -> list[Path]:
    """
    Return the safetensors files of a model: the single one, as transformers does, or its index's.

    Raises CheckpointError for an index that names anything but files beside it.
    """
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if (folder / INDEX).exists():
        found = read_json(folder / INDEX).get('weight_map')
        if not found:
            raise CheckpointError(f"{folder / INDEX}: expected the key 'weight_map', found none")
        names = list(mapping(f'{folder / INDEX}: weight_map', found).values())
        for name in names:  # a link is fine: the hub's cache is made of them
            if not isinstance(name, str) or not re.fullmatch(r'[\w.+-]+\.safetensors', name):
                raise CheckpointError(
                    f'{folder / INDEX}: weight_map: expected names of .safetensors files beside '
                    f'it, found {name!r:.80}'
                )
        if len(set(names)) > _SHARDS:
            raise CheckpointError(
                f'{folder / INDEX}: weight_map: expected at most {_SHARDS} files, '
                f'found {len(set(names))}'
            )
        return [folder / name for name in sorted(set(names))]
    raise CheckpointError(f'{folder}: expected {SINGLE} or {INDEX}, found neither')


def read_safetensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """
    Yield the names and tensors of one file; raises CheckpointError if absent or damaged.

    Names come without what training puts before them, see `bare`.
    Reads instead of mapping: a mapped file that someone cuts short ends the process (SIGBUS), and
    one that is overwritten changes a model that acts. Takes no memory for more than the file has.
    """
    check_size(path, _LARGEST)
    try:
        with path.open('rb', buffering=0) as file:
            for name, shape, dtype in _header(file, path.stat().st_size):
                tensor = torch.empty(shape, dtype=dtype)
                _fill(tensor, file)
                yield bare(name), tensor
    except _GARBAGE as error:
        raise _damaged(path, error) from error


def read_shapes(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the names and tensors of one file, these on the device `meta`: nothing is read."""
    check_size(path, _LARGEST)
    try:
        with path.open('rb', buffering=0) as file:
            facts = _header(file, path.stat().st_size)
    except _GARBAGE as error:
        raise _damaged(path, error) from error
    for name, shape, dtype in facts:
        yield bare(name), torch.empty(shape, dtype=dtype, device='meta')


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = ' '.join(str(error).split())
    return CheckpointError(
        f'{path}: expected a complete safetensors file, found a damaged one ({reason:.200}); '
        'fetch it again'
    )


def _header(file: RawIOBase, length: int) -> list[tuple[str, list[int], torch.dtype]]:
    """Return name, shape and type of each tensor, in the order in which the bytes follow."""
    size = int.from_bytes(file.read(8), 'little')
    if size > min(length - 8, _HEADER):
        raise ValueError(f'a header of {size} bytes in a file of {length}')
    facts = json.loads(file.read(size))
    facts.pop('__metadata__', None)
    entries, end = [], 0
    for name, fact in sorted(facts.items(), key=lambda item: item[1]['data_offsets']):
        shape, dtype = fact['shape'], _DTYPES[fact['dtype']]
        begin, following = fact['data_offsets']
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f'{name} of shape {shape!r:.80}')
        if begin != end or following - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f'{name} at bytes {begin} to {following}, expected it at {end}')
        entries.append((name, shape, dtype))
        end = following
    if end != length - 8 - size:
        raise ValueError(f'{length} bytes, expected {8 + size + end}')
    return entries


def _fill(tensor: Tensor, file: RawIOBase) -> None:
    """Read a tensor's bytes; raises ValueError where the file ends."""
    room = memoryview(tensor.view(-1).view(torch.uint8).numpy()) if tensor.numel() else b''
    while len(room):
        count = file.readinto(room)
        if not count:
            raise ValueError('it was cut short while it was read')
        room = room[count:]


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """
    Read a `.pt` file of tensors, by their names without what training puts before them.

    Raises CheckpointError for anything else.
    """
    state = read_pickled(path)
    if not _holds_tensors(state):
        raise CheckpointError(f'{path}: expected a dict of tensors, found {type(state).__name__}')
    _check_stored(path, state.values())
    return _bare(path, state)


def bare(name: str) -> str:
    """Return a tensor's name without `module.` (distributed) and `_orig_mod.` (compiled)."""
    return re.sub(r'^(?:module\.)+', '', re.sub(r'(?<![^.])(?:_orig_mod\.)+', '', name))


def _bare(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {bare(name): tensor for name, tensor in state.items()}
    if len(found) < len(state):
        names = [bare(name) for name in state]
        twice = next(name for name in names if names.count(name) > 1)
        raise CheckpointError(f'{path}: expected {twice} once, found it twice')
    return found


def read_modules(path: Path) -> dict[str, dict[str, Tensor]]:
    """
    Read a Prismatic `.pt` file: under `model` one state dict for each module.

    Raises CheckpointError for anything else.
    """
    state = read_pickled(path, mapped=True)
    modules = state.get('model') if isinstance(state, dict) else None
    if not isinstance(modules, dict) or not all(map(_holds_tensors, modules.values())):
        raise CheckpointError(
            f"{path}: expected the key 'model' with a dict of tensors for each module, found "
            f'{[*state][:_SHOWN] if isinstance(state, dict) else type(state).__name__!r:.200}'
        )
    _check_stored(path, [tensor for one in modules.values() for tensor in one.values()])
    return {str(name): _bare(path, tensors) for name, tensors in modules.items()}


def _holds_tensors(state: object) -> bool:
    return isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )


def _check_stored(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors that are larger than their file, since they are views of few numbers."""
    found, most = sum(tensor.nbytes for tensor in tensors), 2 * path.stat().st_size
    if found > most:  # twice: weights may be tied
        raise CheckpointError(
            f'{path}: expected tensors of at most {most} bytes in all, found {found}'
        )


def collect(
    expected: Mapping[str, torch.Size],
    tensors: Iterator[tuple[str, Tensor]],
    dtype: torch.dtype | Mapping[str, torch.dtype],
    source: str,
    light: Mapping[str, torch.dtype] = MappingProxyType({}),
) -> dict[str, Tensor]:
    """
    Gather exactly the expected tensors, cast to `dtype`, or to that of their names.

    light: those that are held in one byte, and its type; each gets a scale as it is read.

    Raises CheckpointError naming every tensor that is missing, surplus or of another shape.
    """
    state: dict[str, Tensor] = {}
    surplus, misshapen = [], []
    for name, tensor in tensors:
        if name not in expected:
            surplus.append(name)
        elif not tensor.is_floating_point():
            raise CheckpointError(
                f'{source}: {name}: expected floating-point numbers, found {tensor.dtype}'
            )
        elif tensor.shape != expected[name]:
            misshapen.append(f'{name} expected {list(expected[name])} found {list(tensor.shape)}')
        elif name in state:
            raise CheckpointError(f'{source}: expected {name} once, found it twice')
        else:
            kept = dtype if isinstance(dtype, torch.dtype) else dtype[name]
            state.update(held(name, tensor, light, kept))
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


def shape_of(source: str, name: str, tensor: Tensor, rank: int) -> tuple[int, ...]:
    """Return a tensor's shape; raises CheckpointError if it has another number of dimensions."""
    if tensor.ndim != rank:
        raise CheckpointError(
            f'{source}: {name}: expected {rank} dimensions, found {list(tensor.shape)}'
        )
    return tuple(tensor.shape)


def _short(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
