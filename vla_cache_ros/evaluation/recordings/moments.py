# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the moments of a recording at which a gate was farthest from dense, and draw them.

Chooses by the normalised difference. Knows no bag and no policy.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import heapq
import io
from typing import Any

import numpy as np
from PIL import Image
from vla_cache_ros.bags.walk import BagStep
from vla_cache_ros.reports.video import grids
from vla_cache_ros.reports.video import shade
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

COUNT = 10
SIZE = 320  # px, edge of one camera's picture
GAP = 8  # px


@dataclass(frozen=True)
class Moment:
    """
    Hold one observation at which a gate was off.

    time: of recording, ns. dense, actions: what was and would have been executed [n, 7], units of
    the training data. picture: JPEG, all cameras beside each other.
    """

    bag: str
    episode: int
    seconds: float
    time: int
    instruction: str
    gate: str
    normalized: float
    millimetres: float
    degrees: float
    reuse: float
    age_mean: float
    dense: np.ndarray
    actions: np.ndarray
    picture: bytes


@dataclass(frozen=True)
class _Candidate:
    """A moment before it is drawn."""

    step: BagStep
    seconds: float
    gate: str
    found: Any
    report: StepReport
    dense: np.ndarray
    actions: np.ndarray


class WorstMoments:
    """Keep the worst of what is offered, one gate an observation."""

    def __init__(self, bag: str):
        """Name the bag that moments come from."""
        self._bag = bag
        self._heap: list[tuple[float, int, _Candidate]] = []
        self._offered = 0

    def offer(
        self,
        step: BagStep,
        seconds: float,
        acted: Mapping[str, tuple[ActionChunk, StepReport]],
        gates: Mapping[str, Any],  # GateStep by name, dense first
        executed: int,
    ) -> None:
        """Keep an observation if it is among the worst so far."""
        dense, *others = gates
        if not others:
            return
        self._offered += 1
        worst = max(others, key=lambda name: gates[name].difference.normalized)
        off = gates[worst].difference.normalized
        if off <= 0 or (len(self._heap) == COUNT and off <= self._heap[0][0]):
            return
        chunk, report = acted[worst]
        candidate = _Candidate(
            step,
            seconds,
            worst,
            gates[worst],
            report,
            acted[dense][0].actions[:executed],
            chunk.actions[:executed],
        )
        item = (off, -self._offered, candidate)  # of equals the earlier one
        (heapq.heappush if len(self._heap) < COUNT else heapq.heapreplace)(self._heap, item)

    def moments(self) -> list[Moment]:
        """Return what was kept, drawn, worst first."""
        return [self._draw(candidate) for _, _, candidate in sorted(self._heap, reverse=True)]

    def _draw(self, candidate: _Candidate) -> Moment:
        step, found = candidate.step, candidate.found
        return Moment(
            bag=self._bag,
            episode=step.episode,
            seconds=candidate.seconds,
            time=step.time,
            instruction=step.observation.instruction,
            gate=candidate.gate,
            normalized=found.difference.normalized,
            millimetres=found.difference.millimetres,
            degrees=found.difference.degrees,
            reuse=found.reuse,
            age_mean=found.age_mean,
            dense=candidate.dense,
            actions=candidate.actions,
            picture=draw(step.observation.images, candidate.report.active),
        )


def draw(images: Sequence[np.ndarray], active: np.ndarray) -> bytes:
    """Return the cameras beside each other as JPEG, patches that are not active [V] shaded."""
    masks = grids(active, len(images))
    views = [shade(image, mask, SIZE) for image, mask in zip(images, masks, strict=True)]
    gap = np.full((SIZE, GAP, 3), 255, np.uint8)
    row = [part for view in views for part in (gap, view)][1:]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(row, axis=1)).save(buffer, 'JPEG', quality=85)
    return buffer.getvalue()
