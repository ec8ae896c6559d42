# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record episodes of the embedded robot, so that every variant of a benchmark sees the same.

The dense policy of `tabletop` drives; what it saw is kept in memory. Knows no variant.
"""

from __future__ import annotations

from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.types import Observation

DRIVER = 'tabletop'


def record_episodes(
    steps: int, warmup: int, seed: int, device: str = 'cpu', execute: int = EXECUTE_STEPS
) -> list[list[Observation]]:
    """
    Return episodes of at least two observations each, `warmup` + 1 in the first.

    The first is there to warm up; of the others all observations but the first of each come to
    `steps` together. Seeds run from `seed` on, an episode ends where the robot succeeds.
    device: of the driver; raises ValueError for one that torch does not have. execute: actions
    between two observations, as many as the model that will see them executes.
    """
    from vla_cache_ros.environments.tabletop.robot import Tabletop
    from vla_cache_ros.policy import Policy

    driver = Policy.from_pretrained(DRIVER, gate='dense', device=device)
    env = Tabletop()

    def episode(seed: int, most: int) -> list[Observation]:
        observations = [env.reset(seed)]
        driver.reset()
        while len(observations) < most:
            for action in driver.act(observations[-1])[0].actions[:execute]:
                env.step(action)
            observations.append(env.observe())
            # not sooner: an episode of one observation would time nothing
            if env.success() or execute * len(observations) >= env.max_steps:
                break
        return observations

    try:
        episodes: list[list[Observation]] = [[]]
        while len(episodes[0]) < warmup + 1:
            episodes[0] += episode(seed, warmup + 1 - len(episodes[0]))
            seed += 1
        timed = 0
        while timed < steps:
            found = episode(seed, steps - timed + 1)
            episodes.append(found)
            timed += len(found) - 1
            seed += 1
    finally:
        env.close()
    return episodes
