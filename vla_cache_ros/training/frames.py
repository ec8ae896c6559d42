# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read shards of labelled frames into memory, and new ones as they appear.

Knows the shard format of demonstrations.py and nothing of models. A frame takes 0.3 MB.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np


class Frames:
    """Give random access to all complete shards of some directories."""

    def __init__(
        self,
        directories: list[Path],
        part: int = 0,
        parts: int = 1,
        encode: Callable[[np.ndarray], np.ndarray] | None = None,
        encoded: Path | None = None,
    ):
        """
        Read every shard whose .npz exists, or one part of them (one process of several).

        encode maps images uint8 [N, 2, 224, 224, 3] to what is kept of them, once per shard; the
        folder encoded keeps the results for the next run.
        Raises FileNotFoundError when there is none.
        """
        self._encode, self._encoded = encode, encoded
        self._directories = [Path(d) for d in directories]
        self._part, self._parts = part, parts
        self._tables: dict[Path, dict[str, np.ndarray]] = {}
        self._images: list[np.ndarray] = []
        self.refresh()
        if not self._tables:
            found = ', '.join(str(d) for d in directories)
            raise FileNotFoundError(f'expected shards NNNN.npz in {found}: run "vla-cache demos"')

    def refresh(self) -> None:
        """Read the shards that appeared since the last call."""
        shards = sorted(p for d in self._directories for p in d.glob('[0-9]*.npz'))
        for path in shards[self._part :: self._parts]:
            if path not in self._tables:
                self._tables[path] = dict(np.load(path, allow_pickle=False))
                self._images.append(self._read(path))
        tables = list(self._tables.values())
        if tables:
            self.table = {k: np.concatenate([t[k] for t in tables]) for k in tables[0]}
        sizes = [len(i) for i in self._images]
        self._shard = np.repeat(np.arange(len(sizes)), sizes)
        self._row = np.concatenate([np.arange(s) for s in sizes]) if sizes else np.empty(0, int)

    def _read(self, path: Path) -> np.ndarray:
        images = path.with_suffix('.images.npy')
        if self._encode is None:
            return np.load(images)
        kept = self._encoded / f'{path.parent.name}-{path.stem}.npy'
        if not kept.exists():
            np.save(kept.with_suffix('.part.npy'), self._encode(np.load(images)))
            kept.with_suffix('.part.npy').rename(kept)
        return np.load(kept)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._shard)

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Return the images of some frames, uint8 [len(indices), 2, 224, 224, 3] or encoded."""
        return np.stack([self._images[self._shard[i]][self._row[i]] for i in indices])
