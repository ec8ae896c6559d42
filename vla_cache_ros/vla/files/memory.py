# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say in one line that the memory does not suffice, whichever library ran out of it.

What does not fit into what is free is refused before it is loaded; what the kernel kills for
memory says nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import errno
from mmap import mmap
from pathlib import Path
from typing import Protocol

import torch
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.quantized import compute_dtype
from vla_cache_ros.vla.quantized import DTYPES

RESERVE = 2 << 20  # bytes, address space alone until it is given back: to say it takes memory too
WEIGHTS = ('*.safetensors', '*.pt', 'checkpoints/*.pt')

MEMINFO = Path('/proc/meminfo')


class Sized(Protocol):
    """Say what weights take: `VLAModel` does."""

    def weight_bytes(self, dtype: torch.dtype, compute: torch.dtype) -> int:
        """Return the size of the weights held as `dtype`, those that can't be as `compute`."""


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
            f'{str(dtype).removeprefix("torch.")}, got less ({reason}); end other programs, or '
            'choose a smaller dtype or model'
        ) from error


def check_room(name: str, model: Sized, dtype: torch.dtype, device: str) -> None:
    """
    Raise CheckpointError where a model's weights do not fit into the free memory.

    name: of the model, for the message, which says what it takes in each type. What a GPU gets is
    read into the host's memory first.
    """
    sizes = {
        text: model.weight_bytes(kind, compute_dtype(kind, device)) * 1e-9
        for text, kind in DTYPES.items()
    }
    wanted = next(text for text, kind in DTYPES.items() if kind == dtype)
    for place, free in free_memory(device).items():
        if free * 1e-9 < sizes[wanted]:
            each = ', '.join(f'{text} {size:.2f}' for text, size in sizes.items())
            raise CheckpointError(
                f'{name}: expected {sizes[wanted]:.2f} GB of free memory on {place} for weights '
                f'as {wanted}, found {free * 1e-9:.2f} GB (GB for {each}); end other programs, or '
                'choose a smaller dtype or model'
            )


def free_memory(device: str) -> dict[str, int]:
    """Return the free bytes of the host, if it tells, and of the device if it is a GPU."""
    found = {}
    if MEMINFO.exists():
        lines = (line.split() for line in MEMINFO.read_text(encoding='ascii').splitlines())
        kib = {line[0]: int(line[1]) for line in lines}
        found['the host'] = 1024 * (kib['MemAvailable:'] + kib['SwapFree:'])
    if torch.device(device).type == 'cuda':
        found[device] = torch.cuda.mem_get_info(device)[0]
    return found


def short_of_memory(error: Exception) -> bool:
    """Say whether an error means that memory did not suffice; torch has no type for it."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and ('memory' in text or 'bad_alloc' in text))
    )
