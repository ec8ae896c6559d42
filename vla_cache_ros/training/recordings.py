# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
See shards of frames as recordings: runs of frames that follow each other in one episode.

A gate learns from what happens between frames, so it needs them in order. Knows no model.
"""

from collections.abc import Iterator
import hashlib
from pathlib import Path

import numpy as np
from vla_cache_ros.simulation.tasks import TASKS

from .demonstrations import TASK_NAMES
from .frames import Frames

HELD_OUT = 0.1  # share of the recordings that calibration and validation use


class Recordings:
    """
    Hold recordings of at least two frames.

    frames: their frames. training, held_out: arrays of frame indices, one per recording. digest:
    tells these recordings from others.
    """

    def __init__(self, directories: list[Path]) -> None:
        """
        Read all complete shards.

        Raises FileNotFoundError if there is none, ValueError if no recording has two frames.
        """
        self.frames = Frames(directories)
        episode = self.frames.table['episode']
        breaks = np.flatnonzero(np.diff(episode) != 0) + 1
        runs = [r for r in np.split(np.arange(len(episode)), breaks) if len(r) > 1]
        if len(runs) < 2:
            raise ValueError(
                f'recordings: expected at least 2 of two or more frames, found {len(runs)} in '
                f'{", ".join(map(str, directories))}'
            )
        count = max(1, round(HELD_OUT * len(runs)))
        states = self.frames.table['proprio'].tobytes()
        self.digest = hashlib.sha256(episode.tobytes() + states).hexdigest()[:12]
        self.training, self.held_out = runs[:-count], runs[-count:]

    def instruction(self, frame: int) -> str:
        """Return what the robot was told at a frame."""
        return TASKS[TASK_NAMES[self.frames.table['task'][frame]]].instruction

    def instructions(self) -> list[str]:
        """Return every instruction that was given, in order of the alphabet."""
        tasks = np.unique(self.frames.table['task'])
        return sorted(TASKS[TASK_NAMES[task]].instruction for task in tasks)

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
