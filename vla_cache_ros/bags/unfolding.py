# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decompress what a recording holds without taking more memory than a recording has use for.

Knows the compressions of rosbag2 and MCAP. A few kB of either can stand for gigabytes, so every
size is bounded, and so is what rosbags decompresses by itself.
"""

from collections.abc import Iterable
import heapq
from pathlib import Path
from typing import Any

from lz4.frame import LZ4FrameDecompressor
from rosbags.rosbag2 import storage_mcap
import zstandard

LARGEST = 128 * 2**20  # bytes of a chunk or message; an uncompressed 8K picture has 100 MB
AT_ONCE = 4 * LARGEST  # bytes of chunks that overlap in time: rosbags holds them all
GROWTH, ANYWAY = 256, 2**28  # what a compressed file may become: so many times, and so many bytes
_ZSTD = b'\x28\xb5\x2f\xfd'  # begins a message that was compressed by itself; CDR begins with 0


def unfold(data: bytes, compression: str, size: int = LARGEST) -> bytes:
    """
    Return the content, or its begin where the data are cut off.

    compression: zstd, lz4, or empty for none. Raises ValueError for another one, and for what
    becomes larger than size or LARGEST.
    """
    if size > LARGEST:
        raise ValueError(f'expected at most {LARGEST} bytes, got {size}')
    if compression == 'zstd':
        content = zstandard.ZstdDecompressor().stream_reader(data).read(size + 1)
    elif compression == 'lz4':
        content = LZ4FrameDecompressor().decompress(data, max_length=size + 1)
    elif compression:
        raise ValueError(f'expected zstd or lz4, got {compression!r:.40}')
    else:
        content = data
    if len(content) > size:
        raise ValueError(f'expected at most {size} bytes, got more')
    return content


def unfold_message(data: bytes) -> bytes:
    """Return a message's bytes, which rosbag2 may have compressed by itself."""
    if data[:4] != _ZSTD:
        return data
    size = zstandard.frame_content_size(data)  # -1: it does not say
    return unfold(data, 'zstd', size if size >= 0 else LARGEST)


def unfold_file(source: Path, target: Path) -> None:
    """Write what a .zstd file holds; raises ValueError where it grows beyond all measure."""
    most = GROWTH * source.stat().st_size + ANYWAY
    with zstandard.open(source) as content, target.open('wb') as file:
        while block := content.read(2**20):
            most -= file.write(block)
            if most < 0:
                raise ValueError('it grows beyond all measure')


def bound_rosbags() -> None:
    """Have rosbags decompress chunks by `unfold`; by itself it knows no bound."""
    storage_mcap.DECOMPRESSORS.update(
        {name: lambda data, size, name=name: unfold(data, name, size) for name in ('zstd', 'lz4')}
    )


def at_once(chunks: Iterable[Any]) -> int:
    """Return the most bytes of chunks that overlap in time, by an MCAP file's index."""
    held, most = 0, 0
    ends: list[tuple[int, int]] = []
    for chunk in sorted(chunks, key=lambda chunk: chunk.message_start_time):
        while ends and ends[0][0] < chunk.message_start_time:
            held -= heapq.heappop(ends)[1]
        heapq.heappush(ends, (chunk.message_end_time, chunk.uncompressed_size))
        held += chunk.uncompressed_size
        most = max(most, held)
    return most
