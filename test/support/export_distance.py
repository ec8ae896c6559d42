# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how far a policy's actions on an exported data set are from those on the bag it came from.

Run it on a recording of a live node, such as that of `vla-cache demo`: each observation that the
node used is looked for among the frames of an export at 50 fps, and dense acts on both.
"""

import argparse
from contextlib import redirect_stdout
from dataclasses import replace
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk as walk_bag
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.export import Export
from vla_cache_ros.datasets.export import export_bags
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.walk import walk as walk_data
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation

FPS = 50
EXECUTED = 4  # actions of a chunk


def grey_levels(one: Observation, other: Observation) -> float:
    """Return the mean difference of the pictures of two observations, of 255."""
    pairs = zip(one.images, other.images, strict=True)
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]))


def nearest(step: BagStep, frames: list[BagStep]) -> Observation:
    """Return the observation of the frame that shows what a step does, at its state."""
    state = step.observation.proprio

    def far(frame: BagStep) -> tuple[float, float]:
        levels = grey_levels(frame.observation, step.observation)
        return round(levels, 3), float(np.abs(frame.observation.proprio - state).max())

    near = sorted(frames, key=lambda frame: np.abs(frame.observation.proprio - state).max())
    return min(near[:20], key=far).observation


def compare(bag: Path, export: Export, checkpoint: str) -> str:
    """Return in one line how an export differs from its bag."""
    policy = Policy.from_pretrained(checkpoint, gate='dense')
    steps = list(walk_bag(Bag(bag), export.topics, Cadence(1.0)))
    with TemporaryDirectory() as folder, open(os.devnull, 'w') as nowhere:
        with redirect_stdout(nowhere):
            export_bags([bag], Path(folder) / 'out', export)
        data = DataSet(Path(folder) / 'out')
        keys = DataSetKeys().fitted(
            data.path, data.info, policy.num_images, (), policy.proprio_size
        )
        frames = list(walk_data(data, keys, Cadence(1 / FPS)))
    levels, far = [], []
    for step in steps:
        other = nearest(step, frames)
        levels.append(grey_levels(step.observation, other))
        acted = []
        for observation in (step.observation, other):
            policy.reset()
            acted.append(policy.act(observation)[0].actions[:EXECUTED])
        far.append(np.linalg.norm((acted[0] - acted[1]).sum(axis=0)[:3]) * 1000)
    return (
        f'{len(steps)} observations; pictures differ by {np.mean(levels):.2f} of 255 on average; '
        f'{EXECUTED} actions lead {np.mean(far):.4f} mm apart on average, {np.max(far):.4f} at '
        'most'
    )


def main() -> None:
    """Compare both ways of storing pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--bag', type=Path, required=True)
    parser.add_argument('--checkpoint', default='tabletop')
    given = parser.parse_args()
    export = Export(topics=BagTopics(), fps=FPS)
    for name, one in (('png', replace(export, video=False)), ('video, crf 18', export)):
        print(f'{name}: {compare(given.bag, one, given.checkpoint)}', flush=True)


if __name__ == '__main__':
    main()
