# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read tensors from `.pt` files that a stranger may have written.

torch unpickles tensors only (`weights_only`), but that still lets a file ask for memory: zipped
zeros, a bytearray of any length. So the file is looked through first, nothing of it executed.
Knows nothing of what the tensors are for.
"""

from __future__ import annotations

from pathlib import Path
import pickletools
import re
import zipfile

import torch
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import check_size
from vla_cache_ros.vla.files.memory import short_of_memory

PICKLE = 8 * 2**20  # bytes; the pickle of a 7B model has 0.4 MB, and takes 60 times as much memory
LARGEST = 2**40
# What torch.save writes for dicts of plain tensors. Other names that torch would accept allocate
# what they are told to (bytearray, FloatTensor), or make tensors of other layouts.
_NAMES = re.compile(
    r'collections OrderedDict|torch\._utils _rebuild_(tensor_v2|parameter)|torch Size'
    r'|torch (\w+Storage|b?float\d+|u?int\d+|bool)'
    r'|torch\.storage UntypedStorage'
)
MOST = 2**22  # objects, one that is named twice counted twice; a 7B model's pickle has 20,000
_END = 98  # bytes of the directory's end as torch.save writes it: record, locator, old record


def read_pickled(path: Path, mapped: bool = False) -> object:
    """
    Return what a `.pt` file holds; mapped: read its tensors when they are used.

    Raises CheckpointError, in one line, for whatever is no file of plain tensors.
    """
    check_size(path, LARGEST)
    try:
        _examine(path)
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)
    except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
        if short_of_memory(error):
            raise
        reason = ' '.join((str(error) or repr(error)).split())
        raise CheckpointError(
            f'{path}: expected a complete file of tensors, found a damaged one ({reason:.200})'
        ) from error


def _examine(path: Path) -> None:
    """Raise ValueError unless nothing in the file can become larger than the file is."""
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - _END))
        end = file.read()
    # torch has a zip reader of its own: it must not find another directory than zipfile does
    first, second, third = (end.find(mark) for mark in (b'PK\6\6', b'PK\6\7', b'PK\5\6'))
    directory = int.from_bytes(end[40:48], 'little') + int.from_bytes(end[48:56], 'little')
    located = int.from_bytes(end[64:72], 'little')
    where = path.stat().st_size - _END
    if (first, second, third) != (0, 56, 76) or not where == directory == located:
        raise ValueError('it does not end as a zip file of torch.save does')
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError('expected members that are not compressed')
        pickles = [member for member in members if member.filename.endswith('/data.pkl')]
        if len(pickles) != 1 or pickles[0].file_size > PICKLE:
            raise ValueError(f'expected one data.pkl of at most {PICKLE} bytes')
        _examine_pickle(archive.read(pickles[0]))


def _examine_pickle(content: bytes) -> None:
    """
    Raise ValueError for names that are not those of tensors, and for objects within each other.

    A tuple of two tuples that are one, and so on forty times, takes a few bytes and forever to
    hash. So the unpickler's stack is gone through with nothing on it but numbers of objects.
    """
    stack: list[int] = []
    marks: list[int] = []  # how much of the stack is below each
    memo: dict[int, int] = {}
    for code, argument, _ in pickletools.genops(content):
        if code.name == 'GLOBAL' and not _NAMES.fullmatch(argument):
            raise ValueError(f'expected plain tensors, found {argument.replace(" ", ".")!r}')
        if code.name == 'MARK':
            marks.append(len(stack))
        elif 'PUT' in code.name:
            memo[argument] = stack[-1]
        elif 'GET' in code.name:
            stack.append(memo[argument])
        else:
            used = len(code.stack_before)
            if pickletools.markobject in code.stack_before:
                used = len(stack) - marks.pop() + code.stack_before.index(pickletools.markobject)
            count = 1 + sum(stack.pop() for _ in range(used))
            if count > MOST:
                raise ValueError(f'expected at most {MOST} objects, found more')
            stack += [count] * len(code.stack_after)
