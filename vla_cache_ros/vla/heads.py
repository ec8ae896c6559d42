# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Map between the decoder's hidden states and the robot's numbers: projectors and action head.

Names and shapes are those of the OpenVLA and OpenVLA-OFT files. Knows nothing of units: actions
and proprioception are normalised to [-1, 1] on this side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from torch import nn
from torch import Tensor
import torch.nn.functional as F


class HeadConfig(Protocol):
    """
    Describe an action head that reads the hidden state of a causal model's last prompt token.

    To be a frozen dataclass, whose fields `config.json` keeps under the name of the family.
    chunk, action_dim: of the actions `[C, A]` that an inference gives. prompt_end: token ids after
    the blank that ends OpenVLA's prompt.
    """

    family: str
    chunk: int
    action_dim: int
    prompt_end: tuple[int, ...]

    def build(self, hidden_dim: int) -> nn.Module:
        """
        Return the head: a module that maps `[B, 1, D]` to normalised actions `[B, C, A]`.

        Its second argument is what its method `noise(seed, step)` draws for a step of an episode,
        on the CPU: None where nothing is random. Its `forward` must not wait for the device, so
        that a GPU can record it.
        """

    def products(self, hidden_dim: int) -> Iterable[tuple[float, int, int]]:
        """Return the matrix products of an inference, rows, inputs and outputs of each."""


class Projector(nn.Module):
    """
    Map patch features `[..., V]` to decoder embeddings `[..., D]`.

    Two towers get three layers with a first one four times as wide, one tower gets two.
    """

    def __init__(self, vision_dim: int, hidden_dim: int, fused: bool) -> None:
        super().__init__()
        if fused:
            self.fc1 = nn.Linear(vision_dim, 4 * vision_dim)
            self.fc2 = nn.Linear(4 * vision_dim, hidden_dim)
            self.fc3 = nn.Linear(hidden_dim, hidden_dim)
        else:
            self.fc1 = nn.Linear(vision_dim, hidden_dim)
            self.fc2 = nn.Linear(hidden_dim, hidden_dim)
        self.fused = fused

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc2(F.gelu(self.fc1(x)))
        return self.fc3(F.gelu(x)) if self.fused else x


class ProprioProjector(nn.Module):
    """Map a normalised robot state `[B, P]` to one decoder embedding `[B, D]`."""

    def __init__(self, proprio_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(proprio_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, proprio: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(proprio)))


class _ResidualBlock(nn.Module):
    """Add a normed linear layer with ReLU to its input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ffn = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.ffn(x)


class _MLPResNet(nn.Module):
    """Map the hidden states of a step to its action."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(in_dim)
        self.fc1 = nn.Linear(in_dim, hidden_dim)
        self.mlp_resnet_blocks = nn.ModuleList(_ResidualBlock(hidden_dim) for _ in range(2))
        self.layer_norm2 = nn.LayerNorm(hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(self.layer_norm1(x)))
        for block in self.mlp_resnet_blocks:
            x = block(x)
        return self.fc2(self.layer_norm2(x))


class L1ActionHead(nn.Module):
    """Map the hidden states of the action slots to a chunk of continuous actions."""

    def __init__(self, hidden_dim: int, chunk: int, action_dim: int) -> None:
        super().__init__()
        self.chunk = chunk
        self.model = _MLPResNet(action_dim * hidden_dim, hidden_dim, action_dim)

    def noise(self, seed: int, step: int) -> None:
        """Draw nothing: this head is not random."""

    def forward(self, hidden: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map `[B, chunk * action_dim, D]` to `[B, chunk, action_dim]` in normalised units."""
        return self.model(hidden.reshape(hidden.shape[0], self.chunk, -1))
