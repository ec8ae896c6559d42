# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Build models of given sizes with random weights, to measure what no one has the weights for.

Knows the published sizes by name. The weights are one random block, repeated: what is timed does
not depend on their values, and seven billion independent draws take longer than the measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import OftConfig
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.families.cogact import BASES
from vla_cache_ros.vla.families.cogact import CogactConfig
from vla_cache_ros.vla.files.memory import check_room
from vla_cache_ros.vla.flow.published import FLOW_SHAPES
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.letterbox import LetterboxPath
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.quantized import compute_dtype
from vla_cache_ros.vla.quantized import lighten
from vla_cache_ros.vla.quantized import quantize
from vla_cache_ros.vla.quantized import scale_name

_SCALE = 0.02  # deviation of the weights, as before training
_BLOCK = 2**20 + 7  # prime to the sizes of matrices: no two rows start alike
_PROMPT = 35  # tokens with BOS and blank, as long as a published instruction's
_TASK, _TASK_AND_STATE = 20, 60  # tokens of a flow model's prompt, and with eight numbers in it


def _openvla(oft: OftConfig | None) -> VLAConfig:
    return VLAConfig(
        towers=(
            TowerConfig.from_timm('vit_large_patch14_reg4_dinov2.lvd142m'),
            TowerConfig.from_timm('vit_so400m_patch14_siglip_224'),
        ),
        text={'model_type': 'llama', 'vocab_size': 32064, 'pad_token_id': 32000},
        oft=oft,
    )


SHAPES: dict[str, VLAConfig] = {
    'cogact-7b': replace(
        VLAConfig.from_dict(BASES['prism-dinosiglip-224px+7b']), head=CogactConfig()
    ),
    'openvla-7b': _openvla(None),
    'openvla-oft-7b': _openvla(OftConfig(num_images=2)),
    **FLOW_SHAPES,
}


@dataclass(frozen=True)
class RandomVLA(LoadedVLA):
    """Hold a model of random weights; every instruction is the same random `prompt`."""

    prompt: tuple[int, ...] = ()

    def prompt_ids(self, instruction: str, state: np.ndarray | None = None) -> list[int]:
        """Return the ids of the prompt, which ends in a state where one is given."""
        if state is None:
            return list(self.prompt)
        # a token for each digit, and for the blank before
        words = ''.join(f' {int(128 * number + 128):03d}' for number in state)
        return [*self.prompt[: len(self.prompt) - len(words)], *map(ord, words)]


def shape_config(name: str, cameras: int | None = None) -> VLAConfig:
    """
    Return the published sizes of that name; cameras: in place of as many as it has.

    Raises ValueError listing the known names, or for a model of one camera.
    """
    if name not in SHAPES:
        raise ValueError(f'shape: expected one of {", ".join(SHAPES)}, got {name!r}')
    config = SHAPES[name]
    if cameras in (None, config.cameras):
        return config
    if config.flow:
        return replace(config, head=replace(config.flow, num_images=cameras))
    if config.oft:
        return config.with_oft(replace(config.oft, num_images=cameras))
    raise ValueError(f'cameras: expected 1 for {name}, got {cameras}')


def shape_images(config: VLAConfig) -> ImagePreprocessor | Letterbox:
    """Return what the family of a configuration does with pictures."""
    if config.flow is None:
        return ImagePreprocessor.for_towers(config.towers)
    path = LetterboxPath(config.image_size, config.flow.smolvla)
    return Letterbox((path,), config.picture_size)


def parameter_count(config: VLAConfig) -> int:
    """Return the number of parameters of a model, without allocating any."""
    with torch.device('meta'):
        model = VLAModel(config)
    return sum(parameter.numel() for parameter in model.parameters())


def random_vla(
    config: VLAConfig,
    *,
    dtype: torch.dtype = torch.bfloat16,
    device: str = 'cpu',
    seed: int = 0,
    name: str = 'random',
) -> RandomVLA:
    """
    Build a model of these sizes; norms, layer scales and gates hold ones, biases zeros.

    Every tensor is allocated once, in `dtype` (a head in the one that it is kept in), so that the
    largest model needs no more memory than its weights. Raises CheckpointError where that does not
    suffice, and ValueError for fp8 where the device has none.
    """
    check_dtype(dtype, device)
    generator = torch.Generator().manual_seed(seed)
    block = (_SCALE * torch.randn(_BLOCK, generator=generator)).to(device)
    with torch.device('meta'):
        model = VLAModel(config)
    check_room(name, model, dtype, device)
    light, compute = model.light_weights(dtype), compute_dtype(dtype, device)
    blocks = {kind: quantize(block[None], kind) for kind in {*light.values()}}
    floats = block.to(compute)
    lighten(model, light, compute)
    scales = {scale_name(key): blocks[kind].scale for key, kind in light.items()}
    state = {}
    for key, meta in model.state_dict().items():
        kept = light.get(key, config.weight_dtype(key, compute))
        tensor = torch.empty(meta.shape, dtype=kept, device=device)
        if key in scales:
            state[key] = tensor.float().copy_(scales[key].expand(len(tensor)))
            continue
        if key.endswith('bias'):
            # a gate of zero would close every branch of an expert whose norms adapt
            tensor.fill_(float(key.endswith('dense.bias')))
        elif meta.ndim == 1:
            tensor.fill_(1.0)  # norms and layer scales
        else:
            # no two tensors alike: queries that equal keys would attend to themselves alone
            start = int(torch.randint(len(block), (1,), generator=generator))
            source = blocks[light[key]].values[0] if key in light else floats
            _tile(_bits(tensor).view(-1), _bits(source).roll(start))
        state[key] = tensor
    if config.flow is None:
        _speak_actions(_bits(state['language_model.lm_head.weight']), config)
    model.load_state_dict(state, assign=True)
    decoder.rebuild_rotary(model.language_model)
    model.requires_grad_(requires_grad=False).eval().to(device)
    count = _PROMPT
    if config.flow is not None:
        count = _TASK_AND_STATE if config.flow.state_in_prompt else _TASK
    ids = np.random.default_rng(seed).integers(3, config.action_vocab_end - 256, count - 1)
    return RandomVLA(
        folder=Path(name),
        family=config.family,
        model=model,
        config=config,
        images=shape_images(config),
        norm_stats=_statistics(config),
        tokenizer=None,
        fingerprint='',
        prompt=(1, *(int(i) for i in ids), *(config.head.prompt_end if config.head else ())),
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """Return one-byte numbers as plain bytes: few of torch's operations know fp8."""
    return tensor.view(torch.uint8) if tensor.element_size() == 1 else tensor


def _tile(flat: torch.Tensor, block: torch.Tensor) -> None:
    """Fill a flat tensor with copies of the block."""
    whole = len(flat) // len(block) * len(block)
    flat[:whole].view(-1, len(block)).copy_(block.expand(whole // len(block), -1))
    flat[whole:].copy_(block[: len(flat) - whole])


def _speak_actions(head: torch.Tensor, config: VLAConfig) -> None:
    """Let action tokens alone be likely: others would all clip to the same action."""
    head[: config.action_vocab_end - config.n_action_bins] = 0
    head[config.action_vocab_end :] = 0


def _statistics(config: VLAConfig) -> Mapping[str, Any]:
    """Return statistics of one data set whose units are the normalised ones."""
    sizes = {'action': config.action_dim or 7}
    if config.proprio_dim:
        sizes['proprio'] = config.proprio_dim
    bounds = {
        name: {
            **{key: [-1.0] * size for key in ('q01', 'min')},
            **{key: [1.0] * size for key in ('q99', 'max')},
        }
        for name, size in sizes.items()
    }
    return {'random': bounds}
