# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Real-time chunking: pull a chunk that is being denoised towards what is left of the last one.

Without the paper's Jacobian, as LeRobot 0.6.1 computes it. Knows no expert and no robot.
Sources: arXiv 2506.07339; LeRobot, `policies/rtc/modeling_rtc.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import torch
from torch import Tensor
import torch.nn.functional as F

SCHEDULES = ('LINEAR', 'EXP', 'ONES', 'ZEROS')


@dataclass(frozen=True)
class RealTimeChunking:
    """
    Say how a chunk is held to what is left of the last one; the defaults are LeRobot's.

    horizon: how many actions count at all. schedule: how their weight fades. most: the largest
    weight of the pull. Raises ValueError for a value out of range.
    """

    horizon: int = 10
    schedule: str = 'LINEAR'
    most: float = 10.0

    def __post_init__(self) -> None:
        if self.horizon < 1 or not self.most >= 0:
            raise ValueError(
                'real-time chunking: expected a horizon of at least 1 and a guidance weight of at '
                f'least 0, got {self.horizon} and {self.most}'
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f'prefix_attention_schedule: expected one of {", ".join(SCHEDULES)}, '
                f'got {self.schedule!r}'
            )

    def guide(self, left: Tensor, delay: int, chunk: int, size: int) -> Guidance:
        """
        Return the guidance of a chunk `[C, size]` by what is left of the last one, `[L, A]`.

        left: in the model's own numbers, from the action that is due when the inference begins.
        delay: how many of them will have been executed when it ends.
        """
        left = left[:chunk].float()
        padded = F.pad(left, (0, size - left.shape[1], 0, chunk - len(left)))
        return Guidance(padded, self.weights(len(left), delay, chunk), self.most)

    def weights(self, left: int, delay: int, chunk: int) -> Tensor:
        """Return how much each action of a chunk is held to the `left` ones, `[C]` in [0, 1]."""
        horizon = min(self.horizon, left)
        delay = min(delay, horizon)
        weights = torch.zeros(chunk)
        weights[:delay] = 1
        between = max(0, horizon - delay)
        if self.schedule == 'ONES':
            weights[:horizon] = 1
        elif self.schedule != 'ZEROS' and between:
            fading = torch.linspace(1, 0, between + 2)[1:-1]
            if self.schedule == 'EXP':
                fading = fading * torch.expm1(fading) / (math.e - 1)
            weights[delay:horizon] = fading
        return weights


@dataclass(frozen=True)
class Guidance:
    """Hold where a chunk is pulled, `[C, size]`, how much by action, `[C]`, and at most."""

    left: Tensor
    weights: Tensor
    most: float

    def __call__(self, x: Tensor, velocity: Tensor, time: float) -> Tensor:
        """Return the velocity `[C, size]` of a chunk `x` at a time, pulled."""
        error = (self.left - (x - time * velocity)) * self.weights[:, None]
        return velocity - self.pull(time) * error

    def pull(self, time: float) -> float:
        """Return the weight of the pull at a time: the larger, the nearer the chunk is to done."""
        done = 1 - time
        if done <= 0:
            return self.most
        spread = (time**2 + done**2) / time**2
        return min(self.most, time / done * spread)
