# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record how much the instruction attends to each visual token, for gates that ask for it.

Knows one layer at a time: its weights, its rows and its cached keys. Nothing is recorded unless a
gate names the layers, since fused attention must then be computed a second time for the text rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """
    Hold what the text attended to in the last step that was probed.

    layers: the probed decoder layers. rows: float32 `[len(layers), V]`, attention on each visual
    token, mean over heads and text rows. entropy: float32 `[len(layers)]` in nats, of each text
    row's attention over the visual tokens (heads averaged, scaled to sum 1), mean over rows.
    """

    layers: tuple[int, ...]
    rows: np.ndarray
    entropy: np.ndarray

    @classmethod
    def gather(cls, weights: Mapping[int, Tensor]) -> Attention:
        """Reduce weights `[heads, text, V]` by layer."""
        layers = tuple(sorted(weights))
        means = torch.stack([weights[layer].mean(0) for layer in layers])  # [layers, text, V]
        shares = means / means.sum(-1, keepdim=True).clamp(min=1e-12)
        entropy = -(shares * shares.clamp(min=1e-12).log()).sum(-1).mean(-1)  # [layers]
        return cls(layers, means.mean(1).cpu().numpy(), entropy.cpu().numpy())
