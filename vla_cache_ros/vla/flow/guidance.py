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
class Guidance:
    """
    Hold what of the last chunk is still to be executed, in the model's own numbers.

    left: `[L, A]`, from the action that is due when the inference begins. delay: how many of them
    will have been executed when it ends. horizon: how many count at all. schedule: how the rest
    fades. most: the largest weight of the pull.
    """

    left: Tensor
    delay: int
    horizon: int = 10
    schedule: str = 'LINEAR'
    most: float = 10.0

    def weights(self, chunk: int) -> Tensor:
        """Return how much each action of a chunk is held to what is left, `[C]` in [0, 1]."""
        horizon = min(self.horizon, len(self.left))
        delay = min(self.delay, horizon)
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

    def __call__(self, x: Tensor, velocity: Tensor, time: float) -> Tensor:
        """Return the velocity `[C, action_size]` of a chunk `x` at a time, pulled."""
        chunk, size = x.shape
        left = self.left.to(x)[:chunk]
        left = F.pad(left, (0, size - left.shape[1], 0, chunk - len(left)))
        error = (left - (x - time * velocity)) * self.weights(chunk).to(x)[:, None]
        return velocity - self.pull(time) * error

    def pull(self, time: float) -> float:
        """Return the weight of the pull at a time: the larger, the nearer the chunk is to done."""
        done = 1 - time
        if done <= 0:
            return self.most
        spread = (time**2 + done**2) / time**2
        return min(self.most, time / done * spread)
