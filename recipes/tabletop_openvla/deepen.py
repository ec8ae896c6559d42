# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make a trained decoder deeper without changing what it computes (block expansion).

Every layer is followed by copies of itself whose output projections are zero, so that they add
nothing until they are trained. Source: LLaMA Pro, arXiv 2401.02415.
"""

import re

import torch
from torch import Tensor

_LAYER = re.compile(r'(language_model\.model\.layers\.)(\d+)\.(.+)')
_OUTPUTS = ('self_attn.o_proj.weight', 'mlp.down_proj.weight')


def depth(state: dict[str, Tensor]) -> int:
    """Return the number of decoder layers in a model's state dict."""
    return 1 + max(int(match[2]) for match in map(_LAYER.fullmatch, state) if match)


def deepen(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """
    Return the state dict of the same function with more layers.

    Raises ValueError unless the new depth is a multiple of the old one.
    """
    before = depth(state)
    if layers % before:
        raise ValueError(f'layers: expected a multiple of the {before} trained, got {layers}')
    times, deeper = layers // before, {}
    for name, value in state.items():
        match = _LAYER.fullmatch(name)
        if match is None:
            deeper[name] = value
            continue
        first = times * int(match[2])
        for index in range(first, first + times):
            silent = index > first and match[3] in _OUTPUTS
            copy = torch.zeros_like(value) if silent else value.clone()
            deeper[f'{match[1]}{index}.{match[3]}'] = copy
    return deeper
