# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Save and load a learned gate: the folder `gate/` beside a model, safetensors and JSON.

Refuses by name what was made for another model or other cameras, and whatever is damaged. Knows
neither how a gate is trained nor how it plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from functools import cached_property
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
import torch
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import read_json

FORMAT = 2
TOKENS = 256  # of a camera, where nothing else is said
FOLDER = 'gate'  # within a checkpoint
WEIGHTS = 'gate.safetensors'
DESCRIPTION = 'gate.json'
KEYS = (
    'format',
    'config',
    'tokens',
    'cameras',
    'model_fingerprint',
    'calibration',
    'default_reuse',
    'first_share',
    'training',
)


@dataclass(frozen=True)
class SavedGate:
    """
    Hold a trained gate.

    calibration: requested mean reuse over cached steps -> bias of the ratio logits, both rising.
    default_reuse: what is requested where nobody asks, within the calibration. training: how it
    was made, for people. first_share: of the tokens, which an episode's first step computes; the
    second adds the rest. Raises ValueError for a value out of range.
    """

    network: GateNetwork
    calibration: Mapping[float, float]
    default_reuse: float
    training: Mapping[str, Any]
    first_share: float = 1.0

    def __post_init__(self) -> None:
        """Check the calibration and the default."""
        points = sorted(self.calibration.items())
        biases = [bias for _, bias in points]
        if not points or not all(0 <= reuse <= 1 and math.isfinite(b) for reuse, b in points):
            raise ValueError(
                'calibration: expected a finite bias for at least one reuse from 0 to 1, '
                f'found {dict(points)}'
            )
        if biases != sorted(biases):
            raise ValueError(f'calibration: expected no bias to fall as reuse rises, got {points}')
        self.bias(self.default_reuse, 'default_reuse')
        if not 0 < self.first_share <= 1:
            raise ValueError(f'first_share: expected more than 0, to 1, found {self.first_share}')

    @cached_property
    def fingerprint(self) -> str:
        """Return what tells these weights from others."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def bias(self, reuse: float, name: str = 'reuse') -> float:
        """Return the bias for a mean reuse; raises ValueError outside the calibrated range."""
        points = sorted(self.calibration.items())
        low, high = points[0][0], points[-1][0]
        if not low <= reuse <= high:
            raise ValueError(
                f'{name}: expected {low:g} to {high:g}, the range that this gate is calibrated '
                f'for, found {reuse:g}'
            )
        return float(np.interp(reuse, *zip(*points, strict=True)))


def save_gate(
    folder: str | Path,
    network: GateNetwork,
    *,
    fingerprint: str,
    calibration: Mapping[float, float],
    default_reuse: float,
    training: Mapping[str, Any],
    first_share: float = 1.0,
) -> None:
    """
    Write a gate folder that `load_gate_folder` reads; see SavedGate for the arguments.

    fingerprint: of the model it was trained on. A folder that is there is replaced; one that is
    half replaced does not load. Raises ValueError, before writing, for a value out of range.
    """
    SavedGate(network, calibration, default_reuse, training, first_share)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = network.config
    content = {
        'format': FORMAT,
        'config': asdict(config),
        'tokens': config.tokens,
        'cameras': config.cameras,
        'model_fingerprint': fingerprint,
        'calibration': {str(float(k)): float(v) for k, v in sorted(calibration.items())},
        'default_reuse': float(default_reuse),
        'first_share': float(first_share),
        'training': dict(training),
    }
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    partial = [folder / f'.{name}.partial' for name in (WEIGHTS, DESCRIPTION)]
    save_file(state, partial[0], metadata={'format': 'pt'})
    partial[1].write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
    # without its description a folder is refused: old and new halves never meet
    (folder / DESCRIPTION).unlink(missing_ok=True)
    os.replace(partial[0], folder / WEIGHTS)
    os.replace(partial[1], folder / DESCRIPTION)


def find_gate(folder: str | Path | None) -> Path:
    """Return a gate folder as a path; raises CheckpointError if it does not exist."""
    if folder is None or not Path(folder).is_dir():
        raise CheckpointError(
            f'{folder or FOLDER}: checkpoint has no gate folder: '
            'train one with `vla-cache train gate`'
        )
    return Path(folder)


def load_gate_folder(
    folder: str | Path | None, *, fingerprint: str | None, cameras: int, tokens: int = TOKENS
) -> SavedGate:
    """
    Load a gate for a model of this fingerprint and number of cameras, ready for inference.

    fingerprint: None takes any model's, to train on. tokens: visual tokens of a camera. Raises
    CheckpointError (a ValueError), one line that names the file and what is wrong with it.
    """
    folder = find_gate(folder)
    with weights.unchanged(folder, (DESCRIPTION, WEIGHTS)):
        return _load(folder, fingerprint, cameras, cameras * tokens)


def _load(folder: Path, fingerprint: str | None, cameras: int, tokens: int) -> SavedGate:
    path = folder / DESCRIPTION
    content = _read_description(path)
    for key, wanted in (('cameras', cameras), ('tokens', tokens)):
        if content[key] != wanted:
            raise CheckpointError(
                f'{path}: made for another number of {key}: expected {wanted}, '
                f'found {content[key]!r:.80}'
            )
    if fingerprint not in (None, content['model_fingerprint']):
        raise CheckpointError(
            f'{path}: made for another model: expected the fingerprint {fingerprint}, '
            f'found {content["model_fingerprint"]!r:.80}; train one with `vla-cache train gate`'
        )
    try:
        config = _config(content['config'])
        for key, wanted in (('cameras', cameras), ('tokens', tokens)):
            if getattr(config, key) != wanted:
                raise ValueError(f'config.{key}: expected {wanted}, found {getattr(config, key)}')
        network = _network(config, folder / WEIGHTS)
        calibration = {float(k): _number('bias', v) for k, v in content['calibration'].items()}
        default, first = (_number(k, content[k]) for k in ('default_reuse', 'first_share'))
        return SavedGate(network, calibration, default, content['training'], first)
    except CheckpointError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f'{path}: {error!s:.200}') from error


def _read_description(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if content.get('format') != FORMAT:
        raise CheckpointError(
            f'{path}: expected format {FORMAT}, found {content.get("format")!r:.80}; '
            'it was written by another version'
        )
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise CheckpointError(f'{path}: expected the keys {list(KEYS)}, missing {missing}')
    for key in ('config', 'calibration', 'training'):
        if not isinstance(content[key], dict):
            raise CheckpointError(
                f'{path}: {key}: expected an object, found {type(content[key]).__name__}'
            )
    return content


def _config(fields: dict[str, Any]) -> GateConfig:
    ratios = fields.get('ratios')
    if not isinstance(ratios, list):
        raise ValueError(f'config.ratios: expected a list, found {ratios!r:.80}')
    return GateConfig(**{**fields, 'ratios': tuple(_number('ratios', r) for r in ratios)})


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'{name}: expected a number, found {value!r:.80}')
    return float(value)


def _network(config: GateConfig, path: Path) -> GateNetwork:
    with torch.device('meta'):
        network = GateNetwork(config)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    state = weights.collect(shapes, weights.read_safetensors(path), torch.float32, str(path))
    bad = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if bad:
        raise CheckpointError(f'{path}: expected finite weights, found NaN or infinity in {bad}')
    network.load_state_dict(state, assign=True)
    network.trunk.blocks.to(memory_format=torch.channels_last)  # but not the stem: slower so
    return network.requires_grad_(requires_grad=False).eval()
