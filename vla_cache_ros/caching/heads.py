# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make actions or tokens of what the decoder leaves, for one cache or several at once.

Knows hidden states, neither slots nor what an action means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.decoding import Said
from vla_cache_ros.vla.model import VLAModel


class Heads:
    """Run a model's action head, or its token head."""

    def __init__(self, model: VLAModel) -> None:
        self._model = model

    def act(self, asked: Sequence[tuple[Tensor, Tensor | None]]) -> list[np.ndarray]:
        """Return actions `[C, A]` float64 of hidden states `[r, D]` and noise `[1, ...]`."""
        hidden, noise = zip(*asked, strict=True)
        noise = None if noise[0] is None else torch.cat(noise)
        actions = self._model.action_head(torch.stack(hidden), noise)  # [B, C, A]
        return list(actions.to('cpu', torch.float64).numpy())

    def say(self, asked: Sequence[Tensor]) -> list[Said]:
        """Return what is said after each of the rows `[r, D]`."""
        said = Said.of(self._model.logits(torch.cat(list(asked))))
        return said.split([len(one) for one in asked])
