# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write frames to shards on disk; `frames.py` reads them.

Knows neither where frames come from nor what a column means, but for the images, which are kept
in a file of their own that can be mapped into memory.
"""

from pathlib import Path

import numpy as np


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
        partial = self._directory / f'.{self._index:04d}.npz'
        np.savez(partial, **merged)
        partial.rename(f'{name}.npz')  # a shard exists once its .npz does
        self._index += 1
        self._frames = []
