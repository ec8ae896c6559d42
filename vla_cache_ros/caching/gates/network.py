# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The learned gate's network: a score for each visual token and logits over the shares to reuse.

One small convolutional trunk sees every camera; the selector scores its cells, the predictor its
summary. Behaves alike in training and inference. Knows neither files nor how a plan is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional
from vla_cache_ros.caching.gates.motion_input import CHANNELS

CELL = 7  # pixels at half size: one visual token
GRIDS = (8, 16)  # tokens along a side: pictures of 112 and of 224 pixels
LOGIT_BOUND = 4.0  # a predictor that is certain takes no more gradient
_BOUNDS = {'cameras': (1, 64), 'width': (1, 1024), 'depth': (0, 64), 'language_dim': (0, 16384)}


@dataclass(frozen=True)
class GateConfig:
    """
    Hold the sizes of a gate's network.

    cameras: images a step. width: channels of the trunk. depth: residual blocks. ratios: shares of
    the visual tokens that a step may reuse, rising. language_dim: length of the instruction's
    embedding, 0 for a gate that sees no language. grid: tokens along a picture's side. Raises
    ValueError for a value out of range.
    """

    cameras: int = 2
    width: int = 32
    depth: int = 3
    ratios: tuple[float, ...] = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
    language_dim: int = 0
    grid: int = 16

    def __post_init__(self) -> None:
        """Check every field."""
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f'{name}: expected {least} to {most}, found {value!r}')
        if self.grid not in GRIDS:
            raise ValueError(f'grid: expected one of {GRIDS}, found {self.grid!r}')
        ratios = self.ratios
        rising = all(low < high for low, high in pairwise(ratios))
        if not ratios or not rising or not (ratios[0] >= 0 and ratios[-1] <= 1):
            raise ValueError(
                'ratios: expected shares from 0 to 1, each larger than the one before, '
                f'found {list(ratios)}'
            )

    @property
    def tokens(self) -> int:
        """Return the number of visual tokens, V."""
        return self.cameras * self.grid**2


class Trunk(nn.Module):
    """Map planes `[B, cams, 7, S, S]` to features `[B * cams, width, grid, grid]`."""

    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv2d(CHANNELS, width, CELL, stride=CELL)
        self.camera = nn.Parameter(0.02 * torch.randn(config.cameras, width))
        self.film: nn.Linear | None = None
        if config.language_dim:
            self.film = nn.Linear(config.language_dim, 2 * width)
            nn.init.zeros_(self.film.weight)  # starts blind to language
            nn.init.zeros_(self.film.bias)
        self.blocks = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1) for _ in range(config.depth)
        )

    def forward(self, inputs: Tensor, language: Tensor | None) -> Tensor:
        """Return the features; language `[B, language_dim]` modulates all cells alike."""
        batch, cameras = inputs.shape[:2]
        hidden = self.stem(inputs.flatten(0, 1))  # [B * cams, width, grid, grid]
        hidden = hidden.contiguous(memory_format=torch.channels_last)  # faster from here on
        shift = self.camera.repeat(batch, 1)  # [B * cams, width]
        if self.film is not None:
            # embeddings of different models differ in scale by orders of magnitude
            language = functional.layer_norm(language, language.shape[1:])
            film = self.film(language).repeat_interleave(cameras, 0)  # [B * cams, 2 * width]
            scale, offset = film.chunk(2, dim=1)
            hidden = hidden * (1 + scale[:, :, None, None])
            shift = shift + offset
        hidden = hidden + shift[:, :, None, None]
        for block in self.blocks:
            hidden = hidden + block(functional.relu(hidden))
        return functional.relu(hidden)


class GateNetwork(nn.Module):
    """
    Score visual tokens (selector) and choose among shares of reuse (predictor).

    The modules `trunk`, `selector` and `predictor` can be frozen one by one.
    """

    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.selector = nn.Conv2d(config.width, 1, 1)
        self.predictor = nn.Sequential(
            nn.Linear(2 * config.width, config.width),
            nn.ReLU(),
            nn.Linear(config.width, len(config.ratios)),
        )
        # undecided at first, yet not zero: the trunk gets a gradient from the first step on
        for last in (self.selector, self.predictor[-1]):
            nn.init.normal_(last.weight, std=1e-3)
            nn.init.zeros_(last.bias)

    def forward(self, inputs: Tensor, language: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """
        Return score logits `[B, V]` (high = recompute) and ratio logits `[B, ratios]`.

        inputs: float32 `[B, cams, 7, S, S]` from `MotionInput`, S = 7 * grid. language:
        `[B, language_dim]`, given exactly if the configuration has one. Raises ValueError for
        another shape.
        """
        self._check(inputs, language)
        features = self.trunk(inputs, language)  # [B * cams, width, grid, grid]
        scores = self.selector(features).reshape(len(inputs), -1)  # [B, V]
        cells = features.movedim(1, -1)  # [B * cams, grid, grid, width]
        cells = cells.reshape(len(inputs), -1, self.config.width)  # [B, V, width]
        summary = torch.cat([cells.mean(1), cells.amax(1)], dim=1)  # [B, 2 * width]
        logits = self.predictor(summary)
        return scores, LOGIT_BOUND * torch.tanh(logits / LOGIT_BOUND)

    def _check(self, inputs: Tensor, language: Tensor | None) -> None:
        config = self.config
        side = CELL * config.grid
        wanted = [len(inputs), config.cameras, CHANNELS, side, side]
        if list(inputs.shape) != wanted:
            raise ValueError(f'gate inputs: expected {wanted}, found {list(inputs.shape)}')
        found = None if language is None else list(language.shape)
        wanted = [len(inputs), config.language_dim] if config.language_dim else None
        if found != wanted:
            raise ValueError(f'gate language: expected {wanted}, found {found}')
