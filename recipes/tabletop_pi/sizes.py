# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The architecture of `tabletop-pi`: pi0.5's modules with small numbers.

Its tower begins as that of `tabletop`, made a SigLIP. Knows nothing of training.
"""

from __future__ import annotations

import torch
from torch import nn
from torch import Tensor
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.flow.config import FlowConfig
from vla_cache_ros.vla.flow.expert import AdaptiveNorm
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.tower_config import TowerConfig
from vla_cache_ros.vla.vision import VisionTower

from recipes.tabletop_pi.prompts import NUMBERS
from recipes.tabletop_pi.prompts import VOCABULARY

SIGHT = 'tabletop'  # the checkpoint whose tower is taken
LAYERS = 5
# LeRobot's pictures are in [-1, 1]
IMAGES = ImagePreprocessor(((0.5, 0.5, 0.5),), ((0.5, 0.5, 0.5),))
_PERIODS = (1, 2, 4, 8, 16)  # half waves of a number's embedding over the range of a state


def pi_config() -> VLAConfig:
    """Return the sizes of `tabletop-pi`."""
    return VLAConfig(
        towers=(TowerConfig('siglip', 128, 3, 2, 4.0, False, 0, False, 224, 14, 1, True),),
        text={
            'model_type': 'gemma',
            'vocab_size': VOCABULARY,
            'hidden_size': 192,
            'intermediate_size': 512,
            'num_hidden_layers': LAYERS,
            'num_attention_heads': 4,
            'num_key_value_heads': 1,
            'head_dim': 48,
            'rms_norm_eps': 1e-6,
            'rope_theta': 10000.0,
            'pad_token_id': 0,
        },
        head=FlowConfig('pi05', 2, 8, 7, 8, 128, 512, LAYERS, 4, 1, 48, 10, 8, 7),
    )


def pi_model(seed: int) -> VLAModel:
    """Return an untrained model on the tower of `tabletop`; nearby numbers embed alike."""
    model = init_model(pi_config(), seed)
    sight = load_checkpoint(SIGHT, need_tokenizer=False)
    old = sight.model.vision_backbone.featurizer
    with torch.no_grad():
        model.vision_backbone.featurizer.load_state_dict(
            as_siglip(old, sight.images, model.vision_backbone.featurizer)
        )
        for module in model.action_head.modules():
            if isinstance(module, AdaptiveNorm):
                # at first a plain transformer, whatever the time
                nn.init.zeros_(module.dense.bias)
                nn.init.normal_(module.dense.weight, std=0.01)
                nn.init.ones_(module.dense.bias.chunk(3)[2])
        embeddings = model.language_model.model.embed_tokens.weight
        nn.init.normal_(embeddings, std=0.02)
        generator = torch.Generator().manual_seed(seed)
        begin = VOCABULARY - NUMBERS
        embeddings[begin:] = number_embeddings(embeddings.shape[1], generator)
    return model


def as_siglip(old: VisionTower, images: ImagePreprocessor, like: VisionTower) -> dict[str, Tensor]:
    """
    Return the weights of a SigLIP tower that does nearly what a DINOv2 tower does.

    Layer scales go into the weights, images' constants into the patch embedding. Class and
    register tokens are lost and the final norm is new: it has to be trained on.
    """
    given, state = old.state_dict(), like.state_dict()
    for name in state:
        if name in given and not name.startswith('norm.'):
            state[name] = given[name]
    for index in range(like.config.depth):
        for scale, module in (('ls1', 'attn.proj'), ('ls2', 'mlp.fc2')):
            factor = given[f'blocks.{index}.{scale}.scale_factor']
            weight, bias = (f'blocks.{index}.{module}.{one}' for one in ('weight', 'bias'))
            state[weight], state[bias] = given[weight] * factor[:, None], given[bias] * factor
    mean, std = (torch.tensor(one[0]) for one in (images.means, images.stds))
    weight = given['patch_embed.proj.weight']  # [D, 3, 14, 14]
    offset = (weight.sum((2, 3)) * (0.5 - mean) / std).sum(1)
    state['patch_embed.proj.weight'] = weight * (0.5 / std)[:, None, None]
    state['patch_embed.proj.bias'] = given['patch_embed.proj.bias'] + offset
    return state


def number_embeddings(width: int, generator: torch.Generator) -> Tensor:
    """Return embeddings [NUMBERS, width] that are smooth in the number, so that it can be read."""
    ramp = torch.linspace(-1, 1, NUMBERS)
    angles = torch.pi / 2 * ramp[:, None] * torch.tensor(_PERIODS)
    waves = torch.cat([ramp[:, None], angles.sin(), angles.cos(), torch.ones(NUMBERS, 1)], 1)
    directions = torch.randn(waves.shape[1], width, generator=generator)
    return 0.012 * waves @ directions
