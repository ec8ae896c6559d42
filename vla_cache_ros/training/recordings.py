# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
See shards of frames as recordings: runs of frames that follow each other in one episode.

A gate learns from what happens between frames, so it needs them in order. Knows no model, and not
whether frames come from the simulator or from a bag.
"""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
import hashlib
from pathlib import Path

import numpy as np
from vla_cache_ros.training.frames import Frames

HELD_OUT = 0.1  # share of the recordings that calibration and validation use
IDENTITY = ('episode', 'proprio', 'offset', 'stamp')  # columns that tell recordings from others


class Recordings:
    """
    Hold recordings of at least two frames.

    frames: their frames. training, held_out: arrays of frame indices, one per recording. episodes,
    held_out_episodes: how many episodes these come from. digest: tells these recordings from
    others.
    """

    def __init__(self, directories: Sequence[Path], held_out: int | None = None) -> None:
        """
        Read all complete shards.

        held_out: how many of the last episodes are held out. None: HELD_OUT of each instruction's,
        drawn the same way each time, since the last ones may be of other tasks than the first.
        Where a column `offset` says that an episode was sampled several times, it is held out
        wholly.
        Raises FileNotFoundError if there is no shard, ValueError if no recording has two frames
        or none is left to train on.
        """
        self.frames = Frames(directories)
        table = self.frames.table
        episode = table['episode']
        offset = table.get('offset', np.zeros_like(episode))
        breaks = np.flatnonzero((np.diff(episode) != 0) | (np.diff(offset) != 0)) + 1
        runs = [r for r in np.split(np.arange(len(episode)), breaks) if len(r) > 1]
        # demonstrations of one seed in two folders are two episodes
        names = [episode[run[0]] if 'offset' in table else place for place, run in enumerate(runs)]
        order = list(dict.fromkeys(names))
        count = max(1, round(HELD_OUT * len(order))) if held_out is None else held_out
        if len(order) <= count:
            raise ValueError(
                f'recordings: expected at least {count + 1} of two or more frames, {count} of '
                f'them to hold out, found {len(order)} in {", ".join(map(str, directories))}'
            )
        if held_out is None:
            told = dict(zip(names, (str(table['instruction'][r[0]]) for r in runs), strict=True))
            order = _mixed(order, [told[name] for name in order])
        kept = set(order[:-count])
        self.training = [r for name, r in zip(names, runs, strict=True) if name in kept]
        self.held_out = [r for name, r in zip(names, runs, strict=True) if name not in kept]
        self.episodes, self.held_out_episodes = len(kept), count
        content = b''.join(table[name].tobytes() for name in IDENTITY if name in table)
        self.digest = hashlib.sha256(content).hexdigest()[:12]

    def instruction(self, frame: int) -> str:
        """Return what the robot was told at a frame."""
        return str(self.frames.table['instruction'][frame])

    def instructions(self) -> list[str]:
        """Return every instruction that was given, in order of the alphabet."""
        return sorted(map(str, np.unique(self.frames.table['instruction'])))

    def proprio(self, frame: int) -> np.ndarray | None:
        """Return the raw robot state `[P]` at a frame, None where none was recorded."""
        states = self.frames.table.get('proprio')
        return None if states is None else states[frame]

    def stream(self, length: int, rng: np.random.Generator) -> Iterator[tuple[int, bool]]:
        """
        Yield (frame, whether a recording begins) for so many steps, from random training parts.

        A part begins anywhere but at the last frame and runs to the end of its recording.
        """
        left = length
        while left > 0:
            run = self.training[rng.integers(len(self.training))]
            run = run[rng.integers(len(run) - 1) :][:left]
            yield from ((int(frame), index == 0) for index, frame in enumerate(run))
            left -= len(run)


def _mixed(order: Sequence[int], kinds: Sequence[str]) -> list[int]:
    """Return what is to be ordered so that any part of it has of each kind its share."""
    total, seen = Counter(kinds), Counter[str]()
    shares = {}
    for place in np.random.default_rng(0).permutation(len(order)):
        kind = kinds[place]
        shares[order[place]] = (seen[kind] + 0.5) / total[kind]
        seen[kind] += 1
    return sorted(shares, key=shares.__getitem__)
