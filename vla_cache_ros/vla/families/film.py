# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read what OpenVLA-OFT's training with FiLM writes: the vision towers with their modulating layers.

The file holds whole towers, each block within a wrapper, and LoRA as it was trained, unmerged.
Knows no other file of the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re

from torch import Tensor
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError

MODULE = 'vision_backbone'
_LORA = re.compile(r'(.+)\.lora_([AB])\.default\.weight')
_ALPHA = 16  # OFT's training scales by min(rank, 16) / rank


def film_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """
    Yield the towers' tensors by the names that `VLAModel` has, LoRA merged.

    Raises CheckpointError for LoRA that does not fit its layer.
    """
    plain: dict[str, Tensor] = {}
    lora: dict[str, dict[str, Tensor]] = {}
    for key, tensor in weights.read_state_dict(path).items():
        name = f'{MODULE}.{key.removeprefix(f"{MODULE}.")}'.replace('.base_layer.', '.')
        name = re.sub(r'\.blocks\.(\d+)\.block\.', r'.blocks.\1.', name)
        if found := _LORA.fullmatch(name):
            lora.setdefault(found[1], {})[found[2]] = tensor
        else:
            plain[name] = tensor
    for name, tensor in plain.items():
        layer = name.removesuffix('.weight')
        yield name, _merged(path, name, tensor, lora.pop(layer, {})) if layer != name else tensor
    if lora:
        raise CheckpointError(f'{path}: expected a layer for the LoRA of {min(lora)}, found none')


def _merged(path: Path, name: str, weight: Tensor, lora: dict[str, Tensor]) -> Tensor:
    """Return W + alpha / rank * B A, in float32 where there is something to merge."""
    if not lora:
        return weight
    down, up = lora.get('A'), lora.get('B')
    shapes = [None if one is None else tuple(one.shape) for one in (up, down)]
    rank = down.shape[0] if down is not None and down.ndim == 2 else 0
    fits = weight.ndim == 2 and shapes == [(weight.shape[0], rank), (rank, weight.shape[1])]
    if not (fits and rank and up.is_floating_point() and down.is_floating_point()):
        raise CheckpointError(
            f'{path}: expected LoRA of {name} {list(weight.shape)} as B [outputs, rank] and A '
            f'[rank, inputs], found B {shapes[0]} and A {shapes[1]}'
        )
    return weight.float() + min(rank, _ALPHA) / rank * (up.float() @ down.float())
