# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Put together what a folder of LeRobot's says: configuration, processors, sizes and weights.

Source: LeRobot 0.6.1, `policies/pretrained.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
import re
from typing import Any

import torch
from torch import Tensor
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.families.source import base_tensors
from vla_cache_ros.vla.families.source import Source
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.lerobot.folder import read_config
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.letterbox import LetterboxPath
from vla_cache_ros.vla.lerobot.processors import KEY
from vla_cache_ros.vla.lerobot.processors import read_processors
from vla_cache_ros.vla.lerobot.sizes import vla_config
from vla_cache_ros.vla.lerobot.weights import module_tensors

_ALL = 2**16  # layers
_BEFORE_04 = r'(model\.)?(un)?normalize_(inputs|targets|outputs)\.'


def read_lerobot(folder: Path, raw: Mapping[str, Any], tokenizer: str) -> Source:
    """
    Read a folder whose parsed `config.json` is `raw`.

    tokenizer: which files to copy where none are found. Raises CheckpointError with one line for
    what is missing, unknown or not run here.
    """
    config = read_config(folder, raw)
    files = weights.weight_files(folder)
    shapes = [pair for path in files for pair in weights.read_shapes(path)]
    _check_era(folder, [name for name, _ in shapes])
    processors = read_processors(folder, config)
    named = dict(module_tensors(shapes, config.kind, _ALL, str(folder)))
    sizes = vla_config(folder, raw, config, named, processors.prompting.longest)
    layers = sizes.decoder().num_hidden_layers
    tensors = module_tensors(
        _finite(folder, base_tensors(files)), config.kind, layers, str(folder)
    )
    return Source(
        config=sizes,
        base=tensors,
        heads=(),
        base_name=str(folder),
        heads_name=str(folder),
        files=tuple(files),
        images=letterbox(sizes),
        norm_stats={KEY: processors.statistics},
        tokenizer=tokenizer,
        processors=processors,
    )


def letterbox(config: VLAConfig) -> Letterbox:
    """Return what is done with the pictures of a flow model."""
    path = LetterboxPath(config.image_size, corner=config.flow.smolvla)
    return Letterbox((path,), config.picture_size)


def _check_era(folder: Path, names: list[str]) -> None:
    """Refuse weights that hold statistics, as those of before processors do."""
    old = [name for name in names if re.match(_BEFORE_04, name)]
    if old:
        raise CheckpointError(
            f'{folder}: expected statistics in the processor files, found {old[0]:.80} in the '
            "weights, as before LeRobot 0.4; convert it with LeRobot's "
            'processor/migrate_policy_normalization.py'
        )


def _finite(folder: Path, tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Pass tensors on; raises CheckpointError for NaN or infinity in one, naming it."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            ends = torch.stack(tensor.aminmax())
            if not ends.isfinite().all():
                raise CheckpointError(
                    f'{folder}: {name}: expected finite numbers, found NaN or infinity; the '
                    'training that saved this has failed: take an earlier checkpoint'
                )
        yield name, tensor
