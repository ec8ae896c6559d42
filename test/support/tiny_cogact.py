# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write small CogACT models, also as the run folder of a training, and derive their actions."""

from dataclasses import replace
import json
from pathlib import Path
import re

import numpy as np
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from tiny_model import tiny_tokenizer
import torch
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.families.cogact import CogactConfig
from vla_cache_ros.vla.model import init_model

HEAD = CogactConfig(width=24, depth=2, num_heads=3, chunk=5)
TOWER = {'embed_dim': 16, 'depth': 2, 'num_heads': 2, 'mlp_ratio': 2.0}
TIMM = ('vit_small_patch14_reg4_dinov2.lvd142m', 'vit_so400m_patch14_siglip_224')
BACK = (
    (r'^vision_backbone\.featurizer', 'vision_backbone.dino_featurizer'),
    (r'^vision_backbone\.fused_featurizer', 'vision_backbone.siglip_featurizer'),
    (r'\.scale_factor$', '.gamma'),
    (r'^language_model', 'llm_backbone.llm'),
    (r'^projector\.fc1', 'projector.projector.0'),
    (r'^projector\.fc2', 'projector.projector.2'),
    (r'^projector\.fc3', 'projector.projector.4'),
    (r'^action_head', 'action_model'),
)


def cogact_config(**head) -> VLAConfig:
    """Return two small towers, four layers and a small diffusion head."""
    causal = tiny_config(causal=True)
    towers = tuple(TowerConfig.from_timm(name, TOWER) for name in TIMM)
    text = {**causal.text, 'rms_norm_eps': 1e-5}
    return replace(causal, towers=towers, text=text, head=replace(HEAD, **head))


def cogact_model(seed=0, **head):
    """Return a model whose head is not near zero anywhere."""
    return init_model(cogact_config(**head), seed).eval().requires_grad_(False)


def write_cogact(folder: Path, dtype=torch.float32, **head) -> Path:
    """Write the layout of `save_checkpoint`."""
    model = cogact_model(**head)
    save_checkpoint(folder, model, tiny_statistics(), tiny_tokenizer(), dtype=dtype)
    return folder


def published_modules(model) -> dict[str, dict[str, torch.Tensor]]:
    """Return the state dicts of the modules under the names of the published files."""
    modules: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict().items():
        for pattern, text in BACK:
            name = re.sub(pattern, text, name)
        module, _, rest = name.partition('.')
        modules.setdefault(module, {})[rest] = tensor.clone()
    return modules


def write_run(folder: Path, model=None, tokenizer=True) -> Path:
    """Write a run folder of CogACT's training, its sizes small."""
    model = model or cogact_model()
    (folder / 'checkpoints').mkdir(parents=True)
    torch.save(
        {'model': published_modules(model)}, folder / 'checkpoints' / 'step-000100-loss=0.1.pt'
    )
    raw = model.config.to_dict()
    kept = ('timm_model_ids', 'timm_model_kwargs', 'text_config')
    config = {
        **{key: raw[key] for key in kept},
        'vla': {'vla_id': 'prism+tiny', 'base_vlm': 'prism-dinosiglip-224px+7b'},
        'action_model_type': 'DiT-B',
        'future_action_window_size': 4,
        'cogact': {'num_heads': 3},
        'pad_token_id': 512,
    }
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'dataset_statistics.json').write_text(json.dumps(tiny_statistics()))
    if tokenizer:
        tiny_tokenizer().save_pretrained(folder)
    return folder


class Equations:
    """
    Derive CogACT's actions in float64 from the equations, with numpy alone.

    What can be gotten wrong is an attribute, so that a test can get it wrong.
    """

    guidance, steps, train_steps, offset, most_beta = 1.5, 10, 100, 0.008, 0.999
    erf, unguided, heads, eps = False, False, 3, 1e-6

    def __init__(self, head, **changes):
        self.w = {name: t.double().numpy() for name, t in head.net.state_dict().items()}
        for name, value in changes.items():
            setattr(self, name, value)

    def linear(self, x, name):
        return x @ self.w[f'{name}.weight'].T + self.w[f'{name}.bias']

    def norm(self, x):
        variance = x.var(-1, keepdims=True)
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(variance + self.eps)

    def gelu(self, x):
        if self.erf:
            return x * 0.5 * (1 + torch.erf(torch.from_numpy(x / np.sqrt(2))).numpy())
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def attend(self, x, name):
        n, width = x.shape
        q, k, v = self.linear(x, f'{name}.qkv').reshape(n, 3, self.heads, -1).transpose(1, 2, 0, 3)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(width / self.heads)  # [heads, N, N]
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self.linear((weights @ v).transpose(1, 0, 2).reshape(n, width), f'{name}.proj')

    def noise_in(self, actions, time, condition):
        """Return the noise that the network sees in `[C, A]` under one condition `[D]`."""
        angles = time * 10000.0 ** (-np.arange(128) / 128)
        waves = np.concatenate([np.cos(angles), np.sin(angles)])
        hidden = self.linear(waves, 't_embedder.mlp.0')
        token = self.linear(hidden / (1 + np.exp(-hidden)), 't_embedder.mlp.2')
        token = token + self.linear(condition, 'z_embedder.linear')
        x = np.concatenate([token[None], self.linear(actions, 'x_embedder.linear')])
        x = x + self.w['positional_embedding']
        for i in range(len({k.split('.')[1] for k in self.w if k.startswith('blocks.')})):
            x = x + self.attend(self.norm(x), f'blocks.{i}.attn')
            inner = self.gelu(self.linear(self.norm(x), f'blocks.{i}.mlp.fc1'))
            x = x + self.linear(inner, f'blocks.{i}.mlp.fc2')
        return self.linear(self.norm(x), 'final_layer.linear')[1:]

    def __call__(self, condition, noise):
        """Return what `[C, A]` of noise becomes under the condition `[D]`, nothing clipped."""
        moments = np.arange(self.train_steps + 1) / self.train_steps
        ideal = np.cos((moments + self.offset) / (1 + self.offset) * np.pi / 2) ** 2
        kept = np.cumprod(1 - np.minimum(1 - ideal[1:] / ideal[:-1], self.most_beta))
        x, times = noise.astype(np.float64), np.arange(0, self.train_steps, 100 // self.steps)
        for i in reversed(range(len(times))):
            noisy, before = kept[times[i]], kept[times[i - 1]] if i else 1.0
            seen = self.noise_in(x, times[i], condition)
            if not self.unguided:
                free = self.noise_in(x, times[i], self.w['z_embedder.uncondition'][0])
                seen = free + self.guidance * (seen - free)
            clean = (x - np.sqrt(1 - noisy) * seen) / np.sqrt(noisy)
            x = np.sqrt(before) * clean + np.sqrt(1 - before) * seen
        return x
