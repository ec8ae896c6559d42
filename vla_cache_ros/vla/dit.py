# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Denoise a chunk of actions under one condition: a diffusion transformer, sampled by DDIM.

Parameter names are those of the CogACT files. Sources: DiT, arXiv 2212.09748; DDIM, 2010.02502;
classifier-free guidance, 2207.12598; CogACT, 2411.19650. Knows nothing of units: actions are
normalised to [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

TRAIN_STEPS = 100  # of the diffusion that the noise predictor was taught
_FREQUENCIES = 128  # pairs of cosine and sine that a time step becomes
_EPS = 1e-6
_MOST_BETA = 0.999


def kept_levels(train_steps: int = TRAIN_STEPS) -> list[float]:
    """
    Return the share of signal left after each training step, the cumulated alphas.

    The squared cosine schedule, its betas capped (`squaredcos_cap_v2`).
    """

    def ideal(step: int) -> float:
        return math.cos((step / train_steps + 0.008) / 1.008 * math.pi / 2) ** 2

    levels, level = [], 1.0
    for step in range(train_steps):
        level *= 1.0 - min(1.0 - ideal(step + 1) / ideal(step), _MOST_BETA)
        levels.append(level)
    return levels


def ddim_times(steps: int, train_steps: int = TRAIN_STEPS) -> list[int]:
    """
    Return the training steps that so many DDIM steps visit, ascending from 0.

    Raises ValueError where no whole stride gives that number.
    """
    for stride in range(1, train_steps):
        times = range(0, train_steps, stride)
        if len(times) == steps:
            return list(times)
    raise ValueError(
        f'ddim_steps: expected a number that a whole stride through {train_steps} steps gives, '
        f'such as 5, 10 or 20, found {steps}'
    )


class _Attention(nn.Module):
    """Attend among all tokens of a chunk."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        # [B, N, 3W] -> 3 x [B, heads, N, W / heads]
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    """Apply two linear layers with GELU's tanh form between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate='tanh'))


class _Block(nn.Module):
    """Apply one pre-norm transformer block; its norms have no weights."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.mlp = _Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Embedder(nn.Module):
    """Map vectors to tokens; the files keep the layer under the name `linear`."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class _ConditionEmbedder(_Embedder):
    """Map a condition `[B, 1, D]` to a token; `uncondition` stands for the lack of one."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.uncondition = nn.Parameter(0.02 * torch.randn(1, inputs))


class _TimeEmbedder(nn.Module):
    """Map training steps `[B]` to tokens `[B, W]`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, times: Tensor) -> Tensor:
        index = torch.arange(_FREQUENCIES, dtype=torch.float32, device=times.device)
        angles = times[:, None] * torch.exp(index * (-math.log(10000) / _FREQUENCIES))  # [B, 128]
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        return self.mlp(waves.to(self.mlp[0].weight.dtype))


class _FinalLayer(nn.Module):
    """Map tokens to noise."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=_EPS, elementwise_affine=False)
        self.linear = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm_final(x))


class DiT(nn.Module):
    """
    Predict the noise in a chunk of actions.

    `history_embedder` is in the files and is never computed: the published models see no past.
    """

    def __init__(
        self, hidden_dim: int, width: int, depth: int, heads: int, chunk: int, action_dim: int
    ) -> None:
        super().__init__()
        self.history_embedder = _Embedder(action_dim, width)
        self.x_embedder = _Embedder(action_dim, width)
        self.t_embedder = _TimeEmbedder(width)
        self.z_embedder = _ConditionEmbedder(hidden_dim, width)
        self.positional_embedding = nn.Parameter(torch.randn(chunk + 1, width) / width**0.5)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.final_layer = _FinalLayer(width, action_dim)

    def forward(self, actions: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """Map noisy actions `[B, C, A]`, steps `[B]` and conditions `[B, 1, D]` to their noise."""
        first = self.t_embedder(times)[:, None] + self.z_embedder(condition)  # [B, 1, W]
        x = torch.cat([first, self.x_embedder(actions)], dim=1) + self.positional_embedding
        for block in self.blocks:
            x = block(x)
        return self.final_layer(x)[:, 1:]


class DiffusionHead(nn.Module):
    """
    Map the hidden state of the last prompt token to a chunk of continuous actions.

    ddim_steps: passes of the network. guidance: how far the condition's noise is carried beyond
    the unconditional one's; 1 is no guidance.
    """

    def __init__(self, net: DiT, ddim_steps: int, guidance: float) -> None:
        super().__init__()
        self.net = net
        self.guidance = guidance
        levels = kept_levels()
        self.times: Sequence[int] = ddim_times(ddim_steps)
        self.levels: Sequence[float] = [levels[time] for time in self.times]

    def forward(self, hidden: Tensor, noise: Tensor | None = None) -> Tensor:
        """
        Map `[B, 1, D]` to normalised actions `[B, C, A]`, the last of A the gripper: 0 or 1.

        noise: `[1, C, A]`, the same for the whole batch; that of seed and step 0 if not given.
        """
        noise = (self.noise(0, 0) if noise is None else noise).to(self.net.positional_embedding)
        return finish(self.sample(hidden, noise.expand(len(hidden), -1, -1)))

    def noise(self, seed: int, step: int) -> Tensor:
        """
        Return what a chunk is denoised from, `[1, C, A]`: standard normal, the same everywhere.

        It is drawn on the CPU and depends on nothing but the two numbers, so that policies which
        are compared start each step from the same noise.
        """
        chunk, weight = len(self.net.positional_embedding) - 1, self.net.x_embedder.linear.weight
        generator = np.random.default_rng((seed, step))
        return torch.from_numpy(generator.standard_normal((1, chunk, weight.shape[1]))).float()

    def sample(self, hidden: Tensor, noise: Tensor) -> Tensor:
        """Denoise `[B, C, A]` under `[B, 1, D]` without chance (eta 0); nothing is clipped."""
        actions, batch = noise, len(hidden)
        condition, copies = hidden.to(noise.dtype), 1
        if self.guidance > 1:
            nothing = self.net.z_embedder.uncondition.expand(batch, 1, -1)
            condition, copies = torch.cat([condition, nothing]), 2  # [2B, 1, D]
        before = [1.0, *self.levels[:-1]]
        for time, level, cleaner in reversed([*zip(self.times, self.levels, before, strict=True)]):
            times = torch.full((copies * batch,), time, device=noise.device)
            predicted = self.net(actions.repeat(copies, 1, 1), times, condition)
            if copies == 2:
                given, free = predicted.chunk(2)
                predicted = free + self.guidance * (given - free)
            clean = (actions - (1 - level) ** 0.5 * predicted) / level**0.5
            actions = cleaner**0.5 * clean + (1 - cleaner) ** 0.5 * predicted
        return actions


def finish(actions: Tensor) -> Tensor:
    """
    Clip actions `[..., A]` to [-1, 1] and make the gripper, the last of A, 0 or 1.

    The gripper's statistics leave it as it is (`mask`). What is not finite stays so.
    """
    done = actions.clamp(-1.0, 1.0)
    gripper = (done[..., -1:] >= 0.5).to(done)
    done = torch.cat([done[..., :-1], gripper], dim=-1)
    return torch.where(actions.isfinite(), done, actions)
