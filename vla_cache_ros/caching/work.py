# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run steps in lockstep, so that what several of them want computed is computed at once.

A step is a generator: it yields the heavy parts as `Work` and is sent what came of each. One step
is a batch of one. Knows neither models nor caches.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import accumulate
from typing import Any
from typing import TypeVar

import torch

# More rows at once are no quicker on a CPU: what they leave behind outgrows its caches.
MOST_ROWS = 1536

T = TypeVar('T')
Steps = Generator['Work', Any, T]


class Phase(IntEnum):
    """Order the parts of a step: those that are behind are waited for."""

    LOOK = 0
    TOWERS = 1
    DECODER = 2
    HEAD = 3


@dataclass(frozen=True)
class Work:
    """
    Ask for one part of a step.

    do: takes what several steps ask, returns what came of each. kin: what may be done at once has
    the same here and is of one phase; None: this is done by itself. size: its rows, of which
    MOST_ROWS are done at once on a CPU; 0: however many.
    """

    phase: Phase
    do: Callable[[Sequence[Any]], Sequence[Any]]
    asked: Any
    kin: object = None
    size: int = 0


def alone(steps: Steps[T]) -> T:
    """Return what one step gives, or raise its error."""
    (result,) = together([steps])
    if isinstance(result, Exception):
        raise result
    return result


def together(steps: Sequence[Steps[T]]) -> list[T | Exception]:
    """
    Return what each of several steps gives, or the error that ended it; the others go on.

    What fails for several at once is the error of each.
    """
    results: list[T | Exception | None] = [None] * len(steps)
    waiting: dict[int, Work] = {}

    def resume(index: int, how: Callable[[Any], Work], what: object) -> None:
        waiting.pop(index, None)
        try:
            waiting[index] = how(what)
        except StopIteration as end:
            results[index] = end.value
        except Exception as error:  # noqa: BLE001 - whoever asked for this step is told
            results[index] = error

    for index, one in enumerate(steps):
        resume(index, one.send, None)
    while waiting:
        first = min(waiting.values(), key=lambda work: work.phase)
        group = _group(first, waiting)
        try:
            with torch.inference_mode():
                answers = first.do([waiting[index].asked for index in group])
        except BaseException as error:  # noqa: BLE001 - each step has to put its cache right
            for index in group:
                resume(index, steps[index].throw, error)
            continue
        for index, answer in zip(group, answers, strict=True):
            resume(index, steps[index].send, answer)
    return results


def _group(first: Work, waiting: Mapping[int, Work]) -> list[int]:
    """Return the steps whose work is done with the first: of its kin, as many as are worth it."""
    if first.kin is None:
        return [index for index, work in waiting.items() if work is first]
    kin = [
        index
        for index in sorted(waiting)
        if (waiting[index].phase, waiting[index].kin) == (first.phase, first.kin)
    ]
    sizes = accumulate(waiting[index].size for index in kin)
    return [
        index
        for place, (index, rows) in enumerate(zip(kin, sizes, strict=True))
        if rows <= MOST_ROWS or not place
    ]
