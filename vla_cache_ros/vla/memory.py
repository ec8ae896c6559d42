# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say in one line that the memory does not suffice, whichever library ran out of it.

Knows no device: torch names it in its message. What the kernel kills for memory says nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from vla_cache_ros.vla.errors import CheckpointError


@contextmanager
def enough_memory(what: str, needed: int) -> Iterator[None]:
    """Turn a failed allocation inside into a CheckpointError; needed: bytes, at least."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if isinstance(error, RuntimeError) and 'memory' not in reason:
            raise
        raise CheckpointError(
            f'{what}: expected {needed / 1e9:.2f} GB of free memory, and some more to work, came '
            f'less ({reason}); end other programs, or choose a smaller dtype or model'
        ) from error
