# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say in one line that the memory does not suffice, whichever library ran out of it.

Knows no device: torch names it in its message. What the kernel kills for memory says nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import errno
from mmap import mmap
from pathlib import Path

import torch
from vla_cache_ros.vla.errors import CheckpointError

RESERVE = 2 << 20  # bytes, address space alone until it is given back: to say it takes memory too
WEIGHTS = ('*.safetensors', '*.pt', 'checkpoints/*.pt')


@contextmanager
def enough_memory(folder: Path, dtype: torch.dtype) -> Iterator[None]:
    """Turn an allocation that fails inside into a CheckpointError that says what is to be held."""
    # before it is short: not even a folder can be listed then
    found = [path for pattern in WEIGHTS for path in folder.glob(pattern) if path.is_file()]
    size = sum(path.stat().st_size for path in found)
    try:
        with mmap(-1, RESERVE):
            yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not short_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise CheckpointError(
            f'{folder}: expected free memory for weights of {size * 1e-9:.2f} GB, to be held as '
            f'{str(dtype).removeprefix("torch.")}, came less ({reason}); end other programs, or '
            'choose a smaller dtype or model'
        ) from error


def short_of_memory(error: Exception) -> bool:
    """Say whether an error means that memory did not suffice; torch has no type for it."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and ('memory' in text or 'bad_alloc' in text))
    )
