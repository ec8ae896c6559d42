# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Weights and inputs with which CogACT's published head was run to make `data/cogact_head.npz`.

The published classes (microsoft/CogACT at b174a1b8) with width 24, depth 2 and 3 heads, in float32
on a CPU. What was written down is the output alone: all else comes from a seed.
"""

from collections.abc import Mapping

import numpy as np
import torch

_INPUTS = np.random.default_rng(1)
NOISE = _INPUTS.standard_normal((1, 16, 7)).astype(np.float32)
CONDITION = _INPUTS.standard_normal((1, 1, 4096)).astype(np.float32)


def reference_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return normal weights for tensors of these shapes, drawn in the order of their names."""
    generator = np.random.default_rng(0)
    weights = {}
    for name in sorted(shapes):
        drawn = generator.standard_normal(shapes[name])
        scale = 0.2 if len(shapes[name]) == 1 else shapes[name][-1] ** -0.5
        weights[name] = torch.from_numpy((scale * drawn).astype(np.float32))
    return weights
