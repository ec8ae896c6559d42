# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep a few recorded episodes in one small file, so that a GPU is timed on what a robot saw.

The file holds PNG images, so a machine without a simulator reads the same pixels. Written by
`python -m vla_cache_ros.evaluation.gpu.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from vla_cache_ros.types import Observation

FRAMES = Path(__file__).with_name('frames.npz')
STEPS, SEED = 60, 0  # of what ships


def write_frames(path: Path, episodes: Sequence[Sequence[Observation]]) -> None:
    """Write episodes; raises ValueError for an image that OpenCV can't encode."""
    images, places, proprio, instructions = [], [], [], []
    for index, episode in enumerate(episodes):
        for observation in episode:
            for image in observation.images:
                done, data = cv2.imencode(
                    '.png', image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9]
                )
                if not done:
                    raise ValueError(f'image: expected RGB, got {image.shape}')
                images.append(data.ravel())
            places.append((index, len(observation.images)))
            proprio.append(observation.proprio)
            instructions.append(observation.instruction)
    np.savez(
        path,
        png=np.concatenate(images),
        ends=np.cumsum([len(data) for data in images]),
        places=np.array(places),
        proprio=np.array(proprio),
        instructions=np.array(instructions),
    )


def read_frames(path: Path = FRAMES) -> list[list[Observation]]:
    """Return the episodes of a file."""
    with np.load(path, allow_pickle=False) as file:
        found = dict(file)
    images = iter(
        cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        for data in np.split(found['png'], found['ends'][:-1])
    )
    episodes: list[list[Observation]] = []
    rows = zip(found['places'], found['proprio'], found['instructions'], strict=True)
    for (episode, cameras), proprio, instruction in rows:
        if episode == len(episodes):
            episodes.append([])
        seen = tuple(np.ascontiguousarray(next(images)) for _ in range(cameras))
        episodes[episode].append(Observation(seen, str(instruction), proprio))
    return episodes


if __name__ == '__main__':
    from vla_cache_ros.evaluation.bench.sampling import record_episodes

    write_frames(FRAMES, record_episodes(STEPS, 2, SEED))
