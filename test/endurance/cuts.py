# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Count camera cuts that are told in whole episodes, where there are none, and those that are missed.

Cuts are made of pictures of the same episodes: a camera's picture is followed by another camera's,
or by one of its own of another episode, which has another table, light and objects.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from script import run
from tqdm import tqdm
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json

SHARE_FOUND = 0.99  # of the cuts made; the rest joins scenes that look alike
KINDS = ('cameras swapped', 'another scene')


def drill_cuts(
    out: Path,
    env: str = 'tabletop',
    checkpoint: str = 'tabletop',
    gate: str = 'learned',
    episodes: int = 200,
    cuts: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Let a policy act, and look for cuts between its observations and between made ones.

    Returns the figures.

    Args:
        out: file for the figures.
        env: as for `vla-cache evaluate`.
        checkpoint: as for `vla-cache evaluate`.
        gate: as for `vla-cache evaluate`.
        episodes: to run.
        cuts: to make, of each kind.
        seed: of the first episode.

    """
    policy = Policy.from_pretrained(checkpoint, gate=gate)
    world = make_environment(env, Setup.of(policy, ()))
    seen = []
    for number in tqdm(range(seed, seed + episodes), unit='episode'):
        seen.append(watch(world.wrap(policy), world, number))
    world.close()
    figures = count(seen, cuts, np.random.default_rng(seed)) | {'env': env, 'gate': gate}
    write_json(out, figures)
    print(figures)
    return figures


def watch(policy: Any, world: Any, seed: int) -> np.ndarray:  # noqa: ANN401
    """Return the images uint8 [n, cams, 224, 224, 3] that a policy saw in one episode."""
    observation, steps, images = world.reset(seed), 0, []
    policy.reset()
    while True:
        images.append(np.stack(observation.images))
        for action in policy.act(observation)[0].actions[: world.execute_steps]:
            world.step(action)
            steps += 1
            if world.success() or steps >= world.max_steps:
                return np.stack(images)
        observation = world.observe()


def count(episodes: Sequence[np.ndarray], cuts: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return the figures of episodes, images [n, cams, 224, 224, 3] each."""
    cameras = episodes[0].shape[1]
    steps = [
        [told(before, now) for before, now in zip(e[:-1], e[1:], strict=True)] for e in episodes
    ]
    found = dict.fromkeys(KINDS, 0)
    for _ in range(cuts):
        one, other = rng.choice(len(episodes), 2, replace=False)
        frame, later = rng.choice(episodes[one]), rng.choice(episodes[other])
        camera = rng.integers(cameras)
        found['another scene'] += told(frame[[camera]], later[[camera]])
        found['cameras swapped'] += told(frame[[camera]], frame[[camera - 1]])
    made = dict.fromkeys(KINDS, cuts)
    if cameras == 1:
        del found['cameras swapped'], made['cameras swapped']
    figures = {
        'episodes': len(episodes),
        'steps': sum(map(len, steps)),
        'false_alarms': sum(map(sum, steps)),
        'episodes_with_one': sum(map(any, steps)),
        'made': made,
        'found': found,
    }
    enough = all(found[kind] >= SHARE_FOUND * made[kind] for kind in found)
    return figures | {'ok': not figures['false_alarms'] and enough}


def told(before: np.ndarray, now: np.ndarray) -> bool:
    """Say whether a gate is told of a cut between two sets of images [cams, 224, 224, 3]."""
    motion = MotionInput()
    motion.remember(before)
    motion.see(now, patchify(before))
    return motion.cut


if __name__ == '__main__':
    run(drill_cuts)
