# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a family of base models is: how its folders are recognised, and what is read from them.

Knows the two layouts' common parts. Knows nothing of what a particular family's head computes.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Protocol

from torch import Tensor
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.processors import Processors

HEADS = 'heads.safetensors'
STATISTICS = 'dataset_statistics.json'
MODULES = ('action_head', 'proprio_projector')  # what the heads' files hold; the rest is the base


@dataclass(frozen=True)
class Source:
    """
    Hold what a folder says about one model, nothing checked against the model's shapes yet.

    base, heads: names, as `VLAModel` has them, and tensors. base_name, heads_name: their files
    in messages. files: those of the weights, for the fingerprint. norm_stats: data set name ->
    statistics. tokenizer: which files to copy where the folder has none. assumed: a warning of
    what nothing in the folder states, or empty. processors: what LeRobot does before and after,
    None for other layouts; `base` then holds the heads too.
    """

    config: VLAConfig
    base: Iterable[tuple[str, Tensor]]
    heads: Iterable[tuple[str, Tensor]]
    base_name: str
    heads_name: str
    files: tuple[Path, ...]
    images: ImagePreprocessor | Letterbox
    norm_stats: Mapping[str, Any]
    tokenizer: str = 'the tokenizer files of the base model'
    assumed: str = ''
    processors: Processors | None = None


class Family(Protocol):
    """Recognise and read the folders of one kind of base model; `name` is `Policy.family`."""

    name: str

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return whether a folder, whose parsed `config.json` is `raw`, is of this family."""

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """Read a folder of this family. Raises CheckpointError naming the file or key."""


def hugging_face(folder: Path, config: VLAConfig) -> Source:
    """
    Read a folder as `save_checkpoint` writes it: safetensors, with a head's in a file of its own.

    config: what `config.json` describes. Raises CheckpointError naming the file.
    """
    heads = folder / HEADS
    base_files = weights.weight_files(folder)
    return Source(
        config=config,
        base=base_tensors(base_files),
        heads=weights.read_safetensors(heads) if config.head is not None else (),
        base_name=str(folder),
        heads_name=str(heads),
        files=(*base_files, *([heads] if config.head is not None else [])),
        images=ImagePreprocessor.from_pretrained(folder, len(config.towers)),
        norm_stats=statistics(folder, config.norm_stats),
    )


def base_tensors(files: Iterable[Path]) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors of safetensors files; raises CheckpointError for LoRA in them."""
    for path in files:
        for name, tensor in weights.read_safetensors(path):
            if 'lora_' in name:
                raise CheckpointError(
                    f'{path}: expected merged weights, found LoRA ({name:.100}); save what the '
                    'merge_and_unload of the PeftModel returns, and load that'
                )
            yield name, tensor


def statistics(folder: Path, otherwise: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Return `dataset_statistics.json`, which goes before what `config.json` says."""
    path = folder / STATISTICS
    if otherwise is not None and not path.exists():
        return otherwise
    return read_json(path)


def split_modules(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read `heads.safetensors` as one state dict for each module."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.read_safetensors(path):
        module, _, rest = name.partition('.')
        if module not in MODULES:
            raise CheckpointError(f'{path}: expected tensors of {MODULES}, found {name}')
        states.setdefault(module, {})[rest] = tensor
    return states
