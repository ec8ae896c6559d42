# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Load and save a model as a Hugging Face folder, by path, hub id or the name of one that ships.

Knows which files make a Prismatic, OpenVLA or OpenVLA-OFT checkpoint. Runs no code from the
folder and knows nothing of robots or of time.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import re
from typing import Any

from safetensors.torch import save_file
import torch
from torch import Tensor
from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla import weights
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.config import OftConfig
from vla_cache_ros.vla.config import read_json
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.errors import CheckpointError
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import PrismaticVLA
from vla_cache_ros.vla.prompt import encode_prompt

PACKAGED = Path(__file__).resolve().parent.parent / 'checkpoints'
HUB_FILES = ['*.json', '*.safetensors', '*checkpoint.pt', 'tokenizer.model']
HEADS = 'heads.safetensors'
STATISTICS = 'dataset_statistics.json'
MODULES = ('action_head', 'proprio_projector')
SAMPLES = 64  # byte ranges of a weight file that its fingerprint reads
SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True)
class LoadedVLA:
    """
    Hold a model and what its folder says about using it.

    norm_stats: data set name -> statistics. tokenizer: None if the folder has none and none was
    required. fingerprint: of the weight files, another one after any training.
    """

    folder: Path
    model: PrismaticVLA
    config: VLAConfig
    images: ImagePreprocessor
    norm_stats: Mapping[str, Any]
    tokenizer: Any
    fingerprint: str

    def statistics(self, unnorm_key: str | None = None) -> DatasetStatistics:
        """Return one data set's statistics; raises CheckpointError listing the known keys."""
        kind = 'bounds_q99' if self.config.oft is None else self.config.oft.normalization
        return DatasetStatistics.select(self.norm_stats, unnorm_key, kind)

    def prompt_ids(self, instruction: str) -> list[int]:
        """Return the prompt's token ids, from BOS to the blank."""
        if self.tokenizer is None:
            raise CheckpointError(f'{self.folder}: expected tokenizer files, found none')
        return encode_prompt(self.tokenizer, instruction)


def resolve(name: str | Path) -> Path:
    """
    Return the folder of a checkpoint: a path, a packaged name (`tabletop`...) or a hub id.

    A hub id is downloaded (data files only, no code). Raises CheckpointError if none fits.
    """
    text = str(name)
    if (PACKAGED / text / 'config.json').exists() and '/' not in text:
        return PACKAGED / text
    if Path(text).is_dir():
        return Path(text)
    if re.fullmatch(r'[\w-][\w.-]*/[\w.-]+', text):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.errors import HFValidationError

        try:
            return Path(snapshot_download(text, allow_patterns=HUB_FILES))
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(
                f'checkpoint {text!r}: no such folder, and as a hub id: {reason}'
            ) from error
    raise CheckpointError(
        f"checkpoint: expected a folder, a hub id 'owner/name' or 'tabletop', found {text!r}"
    )


def load_checkpoint(
    name: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: str = 'cpu',
    oft: Mapping[str, Any] | None = None,
    need_tokenizer: bool = True,
) -> LoadedVLA:
    """
    Load a checkpoint for inference.

    name: folder, hub id or 'tabletop'. dtype: what weights are cast to. oft: replaces fields of
    OftConfig, which otherwise come from the folder's config.json or files. Raises CheckpointError
    with one line that names the file or tensor.
    """
    folder = resolve(name)
    config = VLAConfig.from_pretrained(folder)
    files = {module: find_module_file(folder, module) for module in MODULES}
    states = {module: weights.read_state_dict(path) for module, path in files.items() if path}
    if not states and (folder / HEADS).exists():
        states = split_modules(folder / HEADS)
    config = config.with_oft(infer_oft(config, states, oft))
    if config.oft is not None and config.oft.action_head == 'diffusion':
        raise CheckpointError(
            f'{folder}: expected an L1 or discrete action head, found a diffusion head, '
            'which this package does not run'
        )
    with torch.device('meta'):
        model = PrismaticVLA(config)
    shapes = {k: v.shape for k, v in model.state_dict().items()}
    heads = {k: v for k, v in shapes.items() if k.split('.')[0] in MODULES}
    base = {k: v for k, v in shapes.items() if k not in heads}
    state = weights.collect(base, _base_tensors(folder), dtype, str(folder))
    used = {k.split('.')[0] for k in heads}
    given = ((f'{m}.{k}', v) for m in sorted(used) for k, v in states.get(m, {}).items())
    sources = [str(files[m] or folder / HEADS) for m in sorted(used)]
    state.update(weights.collect(heads, given, dtype, ' and '.join(sources)))
    model.load_state_dict(state, assign=True)
    decoder.rebuild_rotary(model.language_model)
    model.requires_grad_(requires_grad=False).eval().to(device)
    stats = folder / STATISTICS
    return LoadedVLA(
        folder=folder,
        model=model,
        config=config,
        images=ImagePreprocessor.from_pretrained(folder, len(config.towers)),
        norm_stats=read_json(stats) if stats.exists() else config.norm_stats,
        tokenizer=load_tokenizer(folder, config) if need_tokenizer else None,
        fingerprint=fingerprint([*weights.weight_files(folder), *(Path(s) for s in set(sources))]),
    )


def is_causal(folder: Path) -> bool:
    """Return whether a checkpoint decodes action tokens one after another: no OpenVLA-OFT."""
    if VLAConfig.from_pretrained(folder).oft is not None or (folder / HEADS).exists():
        return False
    return not any(find_module_file(folder, module) for module in MODULES)


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


def _base_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for path in weights.weight_files(folder):
        yield from weights.read_safetensors(path)


def find_module_file(folder: Path, module: str) -> Path | None:
    """
    Return OFT's `{module}--{N}_checkpoint.pt` (or any one `.pt` of both words), None without.

    Raises CheckpointError if there are several.
    """
    found = sorted(p for p in folder.glob(f'*{module}*checkpoint*.pt'))
    # 'noisy_action_projector' and the like hold other modules
    found = [p for p in found if p.name.startswith(module)] or found
    if len(found) > 1:
        names = [p.name for p in found]
        raise CheckpointError(f'{folder}: expected one file for {module}, found {names}')
    return found[0] if found else None


def split_modules(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read `heads.safetensors` as one state dict for each module."""
    states: dict[str, dict[str, Tensor]] = {}
    for name, tensor in weights.read_safetensors(path):
        module, _, rest = name.partition('.')
        if module not in MODULES:
            raise CheckpointError(f'{path}: expected tensors of {MODULES}, found {name}')
        states.setdefault(module, {})[rest] = tensor
    return states


def infer_oft(
    config: VLAConfig, states: Mapping[str, Mapping[str, Tensor]], given: Mapping | None
) -> OftConfig | None:
    """
    Return the OFT configuration, or None for a causal OpenVLA.

    config.json's `oft` decides; without it the modules found do (their shapes give the sizes);
    `given` replaces single fields.
    """
    if config.oft is None and not states and given is None:
        return None
    fields: dict[str, Any] = {}
    if config.oft is not None:
        fields = asdict(config.oft)
    else:
        head, proprio = states.get('action_head', {}), states.get('proprio_projector', {})
        fields['action_head'] = 'discrete'
        if head:
            diffusion = any(k.startswith('noise_predictor.') for k in head)
            fields['action_head'] = 'diffusion' if diffusion else 'l1'
        if 'model.fc2.bias' in head:
            fields['action_dim'] = int(head['model.fc2.bias'].shape[0])
        fields['use_proprio'] = bool(proprio)
        if 'fc1.weight' in proprio:
            fields['proprio_dim'] = int(proprio['fc1.weight'].shape[1])
    try:
        return OftConfig(**{**fields, **(given or {})})
    except TypeError as error:
        raise CheckpointError(f'oft: {error}') from error


def load_tokenizer(folder: Path, config: VLAConfig) -> Any:
    """Load the tokenizer; raises CheckpointError if absent or larger than the embeddings."""
    if not any((folder / n).exists() for n in ('tokenizer.json', 'tokenizer.model')):
        raise CheckpointError(
            f'{folder}: expected tokenizer.json or tokenizer.model, found neither; '
            'copy the tokenizer files of the base model into the folder'
        )
    verbosity = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()  # it warns that it does not know model_type openvla
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 - transformers raises anything here
        raise CheckpointError(f'{folder}: damaged tokenizer files ({error!r:.200})') from error
    finally:
        hf_logging.set_verbosity(verbosity)
    highest, size = max(tokenizer.get_vocab().values()), config.llama().vocab_size
    if highest >= size:
        raise CheckpointError(
            f'{folder}: expected token ids below vocab_size {size}, found {highest} in the '
            'tokenizer: it belongs to another model'
        )
    return tokenizer


def save_checkpoint(
    folder: str | Path,
    model: PrismaticVLA,
    norm_stats: Mapping[str, Any],
    tokenizer: Any = None,
    images: ImagePreprocessor | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """
    Write a folder that `load_checkpoint` reads: Hugging Face layout, weights in `dtype`.

    norm_stats: data set name -> statistics, as in `dataset_statistics.json`. images: defaults to
    the published constants of the model's towers.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config
    images = images or ImagePreprocessor.for_towers(config.towers)
    llama = config.llama()
    state = {k: v.detach().to('cpu', dtype).contiguous() for k, v in model.state_dict().items()}
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
