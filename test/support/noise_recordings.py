# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write recordings without a simulator: noise, as a robot with two cameras might see it."""

from pathlib import Path

import numpy as np
from vla_cache_ros.training.frames import ShardWriter


def write_noise(folder: Path, episodes: int = 2, length: int = 6) -> Path:
    """Write the shards of some episodes and return their folder."""
    rng = np.random.default_rng(0)
    writer = ShardWriter(folder, 100)
    for frame in range(episodes * length):
        writer.add(
            images=rng.integers(0, 255, (2, 224, 224, 3), dtype=np.uint8),
            instruction=np.array('pick up red cube'),
            episode=np.int64(frame // length),
            proprio=np.zeros(8, np.float32),
            actions=np.zeros((8, 7), np.float32),
        )
    writer.flush()
    return folder
