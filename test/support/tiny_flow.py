# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models of SmolVLA's, pi0's and pi0.5's structure with small random weights."""

import numpy as np
import torch
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.flow.config import FAMILIES
from vla_cache_ros.vla.flow.config import FlowConfig
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.letterbox import LetterboxPath
from vla_cache_ros.vla.lerobot.processors import Processors
from vla_cache_ros.vla.lerobot.prompts import Prompting
from vla_cache_ros.vla.lerobot.scaling import FolderStatistics
from vla_cache_ros.vla.lerobot.scaling import Scaling
from vla_cache_ros.vla.model import VLAModel

CAMERAS, STATE, ACTION, CHUNK = 2, 5, 6, 7
FLOWS = FAMILIES


def flow_config(family, layers=4, steps=3):
    smol = family == 'smolvla'
    geometry = {'image_size': 512, 'patch': 16, 'group': 4} if smol else {}
    tower = TowerConfig('siglip', 16, 2, 2, 2.0, False, 0, False, finished=True, **geometry)
    heads = {'num_attention_heads': 4, 'num_key_value_heads': 2 if smol else 1, 'head_dim': 8}
    text = {
        'model_type': 'llama' if smol else 'gemma',
        'vocab_size': 100,
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': layers,
        'rms_norm_eps': 1e-5 if smol else 1e-6,
        'rope_theta': 10000.0,
        'hidden_act': 'silu' if smol else 'gelu_pytorch_tanh',
        'pad_token_id': 0,
        **heads,
    }
    flow = FlowConfig(
        family,
        num_images=CAMERAS,
        proprio_dim=STATE,
        action_dim=ACTION,
        chunk=CHUNK,
        width=24,
        inner=40,
        depth=layers,
        num_heads=4,
        kv_heads=heads['num_key_value_heads'],
        head_dim=8,
        steps=steps,
        state_size=8,
        action_size=8,
    )
    return VLAConfig(towers=(tower,), text=text, head=flow)


def flow_model(family, seed=0, **sizes):
    """Return a frozen model whose every part tells on the actions."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VLAModel(flow_config(family, **sizes))
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=1.5 * weight[0].numel() ** -0.5)
            if name.endswith('pos_embed'):
                torch.nn.init.normal_(weight, std=0.5)
    return model.eval().requires_grad_(requires_grad=False)


def states(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, STATE, generator=generator) * 2 - 1


def start(model, batch, steps=None, seed=0):
    noise = torch.stack([model.action_head.noise(seed, row) for row in range(batch)])
    return FlowStart(noise, steps or model.config.flow.steps)


def squares(model, batch, seed=0):
    """Return cameras' pictures uint8 `[B, cams, H, H, 3]`."""
    size = model.config.image_size
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (batch, CAMERAS, size, size, 3), dtype=np.uint8)


def values(images):
    """Return the pixel values `[B, cams * 3, H, H]` of squares."""
    planes = torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 127.5 - 1
    return planes.flatten(1, 2)


class Letters:
    """Say an id for each letter, as a tokenizer would."""

    def __call__(self, text):
        return {'input_ids': [2, *(4 + ord(letter) % 90 for letter in text)]}


def flow_vla(family, folder):
    """Return a model as a folder of LeRobot's would give it; there is no folder."""
    config = flow_config(family)
    path = LetterboxPath(config.image_size, corner=family == 'smolvla')
    statistics = FolderStatistics('toy', scaling(ACTION), scaling(STATE))
    prompting = Prompting(STATE if config.flow.state_in_prompt else 0, '', 200)
    return LoadedVLA(
        folder=folder,
        family=family,
        model=flow_model(family),
        config=config,
        images=Letterbox((path,), config.picture_size),
        norm_stats={'toy': statistics},
        tokenizer=Letters(),
        fingerprint=family,
        processors=Processors(('front', 'wrist'), (), prompting, statistics),
    )


def scaling(size):
    return Scaling('MEAN_STD', np.zeros(size), np.ones(size), 0.0)


def write_flow_frames(vla, folder, episodes=3, length=4):
    """Write recordings of a model's squares, with labels, and return their folder."""
    writer, random = ShardWriter(folder, 100), np.random.default_rng(0)
    for frame in range(episodes * length):
        writer.add(
            images=squares(vla.model, 1, frame)[0],
            instruction=np.array('pick up red cube'),
            episode=np.int64(frame // length),
            proprio=random.uniform(-1, 1, STATE).astype(np.float32),
            actions=random.uniform(-1, 1, (CHUNK, ACTION)).astype(np.float32),
        )
    writer.flush()
    return folder
