# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Load a model by path, hub id or the name of one that ships; save it as a Hugging Face folder.

What its files are is told by its family (`vla.families`). Runs no code from the folder and knows
nothing of robots or of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import json
import logging
from pathlib import Path
from typing import Any
import warnings

import numpy as np
from safetensors.torch import save_file
import torch
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.actions import OFT_EPSILON
from vla_cache_ros.vla.actions import Statistics
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.families import find_family
from vla_cache_ros.vla.families.openvla import OpenVLA
from vla_cache_ros.vla.families.openvla_oft import OpenVLAOFT
from vla_cache_ros.vla.families.source import HEADS
from vla_cache_ros.vla.families.source import MODULES
from vla_cache_ros.vla.families.source import STATISTICS
from vla_cache_ros.vla.families.unfinished import refuse_adapter
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.memory import check_room
from vla_cache_ros.vla.files.memory import enough_memory
from vla_cache_ros.vla.files.memory import short_of_memory
from vla_cache_ros.vla.files.place import HUB_FILES
from vla_cache_ros.vla.files.place import resolve
from vla_cache_ros.vla.files.place import split_name
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.processors import Processors
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.prompt import encode_prompt
from vla_cache_ros.vla.quantized import compute_dtype
from vla_cache_ros.vla.quantized import LARGEST
from vla_cache_ros.vla.quantized import lighten
from vla_cache_ros.vla.tokenizer import load_tokenizer

SAMPLES = 64  # byte ranges of a weight file that its fingerprint reads
SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True)
class LoadedVLA:
    """
    Hold a model and what its folder says about using it.

    family: name of one of `vla.families`. norm_stats: data set name -> statistics. tokenizer: None
    if the folder has none and none was required. fingerprint: of the weight files, another one
    after any training. processors: what LeRobot does before and after, None for other layouts.
    """

    folder: Path
    family: str
    model: VLAModel
    config: VLAConfig
    images: ImagePreprocessor | Letterbox
    norm_stats: Mapping[str, Any]
    tokenizer: Any
    fingerprint: str
    processors: Processors | None = None

    def statistics(self, unnorm_key: str | None = None) -> Statistics:
        """
        Return one data set's statistics.

        Raises CheckpointError listing the known keys, or where they do not fit the model.
        """
        config = self.config
        kind = 'bounds_q99' if config.oft is None else config.oft.normalization
        epsilon = 0.0 if config.oft is None else OFT_EPSILON
        found = DatasetStatistics.select(self.norm_stats, unnorm_key, kind, epsilon)
        sizes = [('action', config.action_dim, found.action)]
        sizes.append(('proprio', config.proprio_dim or None, found.proprio))
        for name, wanted, bounds in sizes:
            size = None if bounds is None else len(bounds)
            if wanted is not None and size != wanted:
                raise CheckpointError(
                    f'statistics of {found.key}.{name}: expected {wanted} values as in the '
                    f'model, found {size}'
                )
        return found

    @property
    def summary(self) -> str:
        """Return in one line what the folder is taken for, and what is done with pictures."""
        config = self.config
        if self.processors is not None:
            steps = f'chunks of {config.chunk} in {config.flow.steps} steps'
            return f'{self.family}, {self.processors}, {steps}; images: {self.images}'
        head = 'action tokens'
        if config.head is not None or config.oft is not None:
            kind = 'diffusion' if config.oft is None else config.oft.action_head
            head = f'{kind} head of {config.chunk} actions of {config.action_dim} numbers'
        state = f'robot state of {config.proprio_dim}' if config.proprio_dim else 'no robot state'
        film = ', FiLM' if config.film else ''
        plural = 's' if config.cameras > 1 else ''
        known = f'{self.family}, {config.cameras} camera{plural}, {state}, {head}{film}'
        return f'{known}; images: {self.images}'

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Return what the cameras are called, in their order; empty where nothing states it."""
        return () if self.processors is None else self.processors.cameras

    def prompt_ids(self, instruction: str, state: np.ndarray | None = None) -> list[int]:
        """
        Return the prompt's token ids, from BOS to the blank and what a head has after it.

        state: normalised `[P]`, which pi0.5 has in its prompt; without it the prompt is as long as
        any state makes it. Raises InputError for an instruction that the model cannot take.
        """
        if self.tokenizer is None:
            raise CheckpointError(f'{self.folder}: expected tokenizer files, found none')
        if self.processors is not None:
            return self.processors.prompting.ids(self.tokenizer, instruction, state)
        end = () if self.config.head is None else self.config.head.prompt_end
        return [*encode_prompt(self.tokenizer, instruction), *end]


def load_checkpoint(
    name: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = 'cpu',
    oft: Mapping[str, Any] | None = None,
    images: Mapping[str, Any] | None = None,
    need_tokenizer: bool = True,
) -> LoadedVLA:
    """
    Load a checkpoint for inference.

    name: folder, hub id or 'tabletop', see `split_name`. dtype: what weights are cast to; int8 and
    fp8 are held so, one after the other as they are read, see `vla.quantized`. oft: replaces
    fields of OftConfig, which otherwise come from the name, the folder's config.json or its files.
    images: replaces fields of the cameras' ImagePath, see `vla.image_path.changed_paths`. Says in
    the log what the folder is taken for, and warns of what nothing in it states.

    Raises CheckpointError with one line that names the file or tensor, also where files changed
    while they were read or the memory does not suffice, and ValueError for fp8 where the device
    has none.
    """
    check_dtype(dtype, device)
    folder, (_, said) = resolve(name), split_name(name)
    with enough_memory(folder, dtype), weights.unchanged(folder, HUB_FILES):
        steps = said.pop('flow_steps', None)
        oft = {**said, **(oft or {})} or None
        vla = _load(folder, dtype, device, oft, steps, images, need_tokenizer)
    logging.getLogger(__name__).info('%s: %s', folder, vla.summary)
    return vla


def _load(
    folder: Path,
    dtype: torch.dtype,
    device: str,
    oft: Mapping[str, Any] | None,
    steps: Any,
    images: Mapping[str, Any] | None,
    need_tokenizer: bool,
) -> LoadedVLA:
    refuse_adapter(folder)
    raw = read_json(folder / 'config.json')
    _check_unquantized(folder, raw)
    family = find_family(folder, raw) if oft is None else OpenVLAOFT()
    source = family.read(folder, raw) if oft is None else OpenVLAOFT().read(folder, raw, oft)
    config = source.config if steps is None else source.config.with_steps(steps)
    if source.assumed:
        warnings.warn(f'{folder}: {source.assumed}', stacklevel=4)
    pictures = source.images.for_cameras(config.cameras, images)
    model = _empty(config)
    check_room(str(folder), model, dtype, device)
    shapes = {k: v.shape for k, v in model.state_dict().items()}
    apart = () if source.processors else MODULES
    heads = {k: v for k, v in shapes.items() if k.split('.')[0] in apart}
    base = {k: v for k, v in shapes.items() if k not in heads}
    light, compute = model.light_weights(dtype), compute_dtype(dtype, device)
    dtypes = {name: config.weight_dtype(name, compute) for name in shapes}
    lighten(model, light, compute)
    state = weights.collect(base, iter(source.base), dtypes, source.base_name, light)
    state.update(weights.collect(heads, iter(source.heads), dtypes, source.heads_name, light))
    model.load_state_dict(state, assign=True)
    decoder.rebuild_rotary(model.language_model)
    model.requires_grad_(requires_grad=False).eval().to(device)
    return LoadedVLA(
        folder=folder,
        family=family.name,
        model=model,
        config=config,
        images=pictures,
        norm_stats=source.norm_stats,
        tokenizer=load_tokenizer(folder, source) if need_tokenizer else None,
        fingerprint=fingerprint(source.files),
        processors=source.processors,
    )


def _check_unquantized(folder: Path, raw: Mapping[str, Any]) -> None:
    """Refuse weights that another program has quantised: their numbers need its code."""
    text = raw.get('text_config')
    found = [('', raw), ('text_config.', text if isinstance(text, Mapping) else {})]
    for place, one in found:
        if one.get('quantization_config'):
            raise CheckpointError(
                f'{folder / "config.json"}: {place}quantization_config: expected none, found '
                f'{one["quantization_config"]!r:.80}; load the unquantised weights with dtype int8'
            )


def _empty(config: VLAConfig) -> VLAModel:
    """Return the model without its weights, which would take memory."""
    try:
        with torch.device('meta'):
            return VLAModel(config)
    except Exception as error:  # noqa: BLE001 - transformers raises anything here
        if short_of_memory(error):
            raise
        raise CheckpointError(
            f'config.json: expected a model, found none ({error!r:.200})'
        ) from error


def is_causal(folder: Path) -> bool:
    """Return whether a checkpoint decodes action tokens one after another, as OpenVLA does."""
    return find_family(folder, read_json(folder / 'config.json')).name == OpenVLA.name


def fingerprint(files: Iterable[Path]) -> str:
    """
    Return a digest of weight files: names, sizes, safetensors headers, evenly spaced byte ranges.

    Reads 4 MiB a file, so that a model of 15 GB takes milliseconds; files of up to that size are
    read in full.
    """
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        size = path.stat().st_size
        digest.update(f'{path.name} {size} '.encode())
        with path.open('rb') as file:
            if path.suffix == '.safetensors':
                header = int.from_bytes(file.read(8), 'little')
                digest.update(file.read(min(header, size)))
            for sample in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def save_checkpoint(
    folder: str | Path,
    model: VLAModel,
    norm_stats: Mapping[str, Any],
    tokenizer: Any = None,
    images: ImagePreprocessor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """
    Write a folder that `load_checkpoint` reads: Hugging Face layout, weights in `dtype`.

    norm_stats: data set name -> statistics, as in `dataset_statistics.json`. images: with the
    cameras' image paths; defaults to the published constants of the model's towers, and to no
    path. Raises CheckpointError for int8 or fp8 weights.
    """
    if any(parameter.dtype in LARGEST for parameter in model.parameters()):
        raise CheckpointError(
            'model: expected float weights to save, got int8 or fp8; load it with dtype float32'
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    images = images or ImagePreprocessor.for_towers(config.towers)
    llama = config.decoder()
    state = {
        k: v.detach().to('cpu', config.weight_dtype(k, dtype)).contiguous()
        for k, v in model.state_dict().items()
    }
    heads = {k: v for k, v in state.items() if k.split('.')[0] in MODULES}
    save_file(
        {k: v for k, v in state.items() if k not in heads},
        folder / weights.SINGLE,
        metadata={'format': 'pt'},
    )
    if heads:
        save_file(heads, folder / HEADS, metadata={'format': 'pt'})
    _write_json(folder / 'config.json', config.to_dict())
    _write_json(folder / 'preprocessor_config.json', images.to_dict())
    _write_json(folder / STATISTICS, norm_stats)
    _write_json(
        folder / 'generation_config.json',
        {
            'bos_token_id': llama.bos_token_id,
            'eos_token_id': llama.eos_token_id,
            'pad_token_id': config.pad_token_id,
        },
    )
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
