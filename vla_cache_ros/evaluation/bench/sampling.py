# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let variants act by turns on the same observations and keep a sample of every step.

They take turns step by step, in an order that changes, so that whatever else the machine does
falls on all alike. Knows no variant and no figure.
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
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.checkpoint import LoadedVLA

Key = TypeVar('Key')


@dataclass(frozen=True)
class Sample:
    """
    Hold one step of one variant.

    episode, step: which observation. text: tokens of the prompt behind the images. active: visual
    tokens per camera that were recomputed. normalized: the actions `[C, A]`. passes: decoder
    passes after the prefill.
    """

    episode: int
    step: int
    text: int
    latency_ms: Mapping[str, float]
    reuse: float
    refresh: str
    active: tuple[int, ...]
    passes: int
    normalized: np.ndarray


def text_tokens(vla: LoadedVLA, instruction: str) -> int:
    """Return the tokens of a prompt that stand behind the images: all, or all but BOS."""
    return len(vla.prompt_ids(instruction)) - int(vla.config.flow is None)


def make_sample(
    vla: LoadedVLA,
    observation: Observation,
    episode: int,
    step: int,
    chunk: ActionChunk,
    report: StepReport,
) -> Sample:
    """Return what is kept of one step."""
    active = report.active.reshape(vla.config.cameras, -1).sum(1)
    return Sample(
        episode=episode,
        step=step,
        text=text_tokens(vla, observation.instruction),
        latency_ms=dict(report.latency_ms),
        reuse=report.reuse,
        refresh=report.refresh,
        active=tuple(int(count) for count in active),
        passes=report.passes,
        normalized=chunk.normalized,
    )


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
