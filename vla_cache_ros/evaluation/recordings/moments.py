# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the moments of a recording at which a gate was farthest from dense, and draw them.

Chooses by the normalised difference. Knows no bag and no policy.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import io

import numpy as np
from PIL import Image
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.evaluation.recordings.steps import GateStep
from vla_cache_ros.overlay import FADE
from vla_cache_ros.overlay import grids
from vla_cache_ros.overlay import shade
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

COUNT = 10
SIZE = 320  # px, edge of one camera's picture
GAP = 8  # px


@dataclass(frozen=True)
class Moment:
    """
    Hold one observation at which a gate was off.

    time: of recording, ns. dense, actions: what was and would have been executed [n, A], units of
    the training data. picture: JPEG, all cameras beside each other. source: as of a BagStep.
    """

    bag: str
    episode: int
    seconds: float
    time: int
    instruction: str
    gate: str
    found: GateStep
    dense: np.ndarray
    actions: np.ndarray
    picture: bytes
    source: str = ''


class WorstMoments:
    """Keep the worst of what is offered, one gate an observation."""

    def __init__(self, bag: str, see: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]):
        """
        Name the bag that moments come from; `moments` are what is kept, worst first.

        see: returns images as the policies saw them.
        """
        self.moments: list[Moment] = []
        self._bag, self._see = bag, see

    def offer(
        self,
        step: BagStep,
        seconds: float,
        acted: Mapping[str, tuple[ActionChunk, StepReport]],
        gates: Mapping[str, GateStep],
        executed: int,
    ) -> None:
        """Keep an observation if it is among the worst so far; gates: by name, dense first."""
        dense, *others = gates
        if not others:
            return
        worst = max(others, key=lambda name: gates[name].normalized)
        off, full = gates[worst].normalized, len(self.moments) == COUNT
        if off <= 0 or (full and off <= self.moments[-1].found.normalized):
            return
        chunk, report = acted[worst]
        moment = Moment(
            bag=self._bag,
            episode=step.episode,
            seconds=seconds,
            time=step.time,
            instruction=step.observation.instruction,
            gate=worst,
            found=gates[worst],
            dense=acted[dense][0].actions[:executed],
            actions=chunk.actions[:executed],
            picture=draw(self._see(step.observation.images), report.active),
            source=step.source,
        )
        # of equals the earlier one stays
        self.moments = sorted([*self.moments, moment], key=lambda m: -m.found.normalized)[:COUNT]


def draw(images: Sequence[np.ndarray], active: np.ndarray) -> bytes:
    """Return the cameras beside each other as JPEG, patches that are not active [V] shaded."""
    fades = grids(FADE * ~active, len(images))
    views = [shade(image, fade, SIZE) for image, fade in zip(images, fades, strict=True)]
    gap = np.full((SIZE, GAP, 3), 255, np.uint8)
    row = [part for view in views for part in (gap, view)][1:]
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(row, axis=1)).save(buffer, 'JPEG', quality=85)
    return buffer.getvalue()
