# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record observations, let variants act on them by turns, and keep a sample of every step.

The dense policy of `tabletop` drives the embedded robot, so that all variants see the same. They
take turns step by step, in an order that changes, so that whatever else the machine does falls on
all alike. Knows no variant and no figure.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import gc
from typing import Any
from typing import TypeVar

import numpy as np
from tqdm import tqdm
from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.checkpoint import LoadedVLA

Key = TypeVar('Key')
DRIVER = 'tabletop'


@dataclass(frozen=True)
class Sample:
    """
    Hold one step of one variant.

    episode, step: which observation. text: tokens of the prompt after BOS. patches: active ones
    per camera. normalized: the actions `[C, A]`. passes: decoder passes after the prefill.
    """

    episode: int
    step: int
    text: int
    latency_ms: Mapping[str, float]
    reuse: float
    refresh: str
    patches: tuple[int, ...]
    passes: int
    normalized: np.ndarray


def make_sample(
    vla: LoadedVLA,
    observation: Observation,
    episode: int,
    step: int,
    chunk: ActionChunk,
    report: StepReport,
) -> Sample:
    """Return what is kept of one step."""
    patches = report.active.reshape(vla.config.cameras, -1).sum(1)
    return Sample(
        episode=episode,
        step=step,
        text=len(vla.prompt_ids(observation.instruction)) - 1,
        latency_ms=dict(report.latency_ms),
        reuse=report.reuse,
        refresh=report.refresh,
        patches=tuple(int(count) for count in patches),
        passes=report.passes,
        normalized=chunk.normalized,
    )


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


def take_turns(
    actors: Mapping[Key, Any],
    model: Callable[[Key], LoadedVLA],
    episodes: Sequence[Sequence[Observation]],
    late: Callable[[], bool] = lambda: False,
    failed: dict[Key, str] | None = None,
) -> dict[Key, list[Sample]]:
    """
    Let every actor act on every observation, all on one before any on the next.

    model: that an actor runs; its cameras are filled. late: once true, it ends after two
    observations or more. failed: takes why an actor failed, whose samples are dropped; without it
    the error is raised.
    """
    samples: dict[Key, list[Sample]] = {key: [] for key in actors}
    turn = 0
    gc.collect()
    gc.freeze()  # what is loaded is no more looked through for garbage
    try:
        with tqdm(total=sum(map(len, episodes)), unit='step', leave=False) as bar:
            for index, episode in enumerate(episodes):
                for actor in actors.values():
                    actor.reset()
                for step, observation in enumerate(episode):
                    if turn > 1 and late():
                        return samples
                    keys = list(samples)
                    for place in turn_order(len(keys), turn):
                        key = keys[place]
                        seen = fit_cameras(observation, model(key).config.cameras)
                        try:
                            chunk, report = actors[key].act(seen)
                        except Exception as error:
                            if failed is None:
                                raise
                            failed[key] = f'step {step}: {" ".join(str(error).split()):.300}'
                            del samples[key]
                            continue
                        samples[key].append(
                            make_sample(model(key), seen, index, step, chunk, report)
                        )
                    turn += 1
                    bar.update()
    finally:
        gc.unfreeze()
    return samples
