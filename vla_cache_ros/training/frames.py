# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep frames in shards on disk, of the simulator's demonstrations or of bags: write and read them.

Knows neither where frames come from nor what a column means, but for the images, which are in a
file of their own that can be mapped into memory. A frame of two cameras takes 0.3 MB.
"""

from collections.abc import Callable
from collections.abc import Sequence
import os
from pathlib import Path
import zlib

import numpy as np


class Frames:
    """Give random access to all complete shards of some directories."""

    def __init__(
        self,
        directories: Sequence[Path],
        part: int = 0,
        parts: int = 1,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
        encoded: Path | None = None,
    ):
        """
        Read every shard whose .npz exists, or one part of them (one process of several).

        encode maps images uint8 [N, cams, H, W, 3] to what is kept of them, once per shard;
        the folder encoded keeps the results for the next run.
        Raises FileNotFoundError when there is none.
        """
        self._encode, self._encoded = encode, encoded
        shards = sorted(p for d in directories for p in Path(d).glob('[0-9]*.npz'))[part::parts]
        if not shards:
            found = ', '.join(str(d) for d in directories)
            raise FileNotFoundError(
                f'expected at least {parts} shards NNNN.npz in {found}: '
                'run "python -m recipes demos"'
            )
        tables = [dict(np.load(path, allow_pickle=False)) for path in shards]
        self.table = {k: np.concatenate([t[k] for t in tables]) for k in tables[0]}
        self._images = [self._read(path) for path in shards]
        sizes = [len(i) for i in self._images]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)
        self._row = np.concatenate([np.arange(s) for s in sizes])

    def _read(self, path: Path) -> np.ndarray:
        images = path.with_suffix('.images.npy')
        if self._encode is None:
            return np.load(images, mmap_mode='r')
        # folders of one name may stand in different places
        place = zlib.crc32(str(path.resolve().parent).encode())
        kept = self._encoded / f'{path.parent.name}-{place:08x}-{path.stem}.npy'
        if not kept.exists():
            # a folder that is given twice has two processes at the same shard
            partial = kept.with_suffix(f'.{os.getpid()}.npy')
            np.save(partial, self._encode(np.load(images)))
            partial.rename(kept)
        return np.load(kept)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._shard)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of some frames, uint8 [indices, cams, H, W, 3] or encoded."""
        return np.stack([self._images[self._shard[i]][self._row[i]] for i in indices])


def save_whole(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays to a .npz file, which is there whole or not at all."""
    partial = path.with_name(f'.{path.name}')
    np.savez(partial, **arrays)
    partial.rename(path)


class ShardWriter:
    """Write frames to DIR/NNNN.images.npy and DIR/NNNN.npz, a fixed number a shard."""

    def __init__(self, directory: Path, size: int, first: int = 0):
        """Write shards of size frames into directory, numbered from first."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._size, self._index = directory, size, first
        self._frames: list[dict[str, np.ndarray]] = []

    def add(self, **frame: np.ndarray) -> None:
        """Add one frame; a full shard goes to disk."""
        self._frames.append(frame)
        if len(self._frames) == self._size:
            self.flush()

    def flush(self) -> None:
        """Write what has been added since the last shard, if anything, images first."""
        if not self._frames:
            return
        merged = {k: np.stack([f[k] for f in self._frames]) for k in self._frames[0]}
        name = self._directory / f'{self._index:04d}'
        np.save(f'{name}.images.npy', merged.pop('images'))
        save_whole(Path(f'{name}.npz'), **merged)  # a shard exists once its .npz does
        self._index += 1
        self._frames = []
