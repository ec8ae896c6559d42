# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how large an action expert is and what its family does in its own way.

Knows no weights and no files. Source: LeRobot 0.6.1, `policies/{smolvla,pi0,pi05}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.files.json_file import whole

FAMILIES = ('smolvla', 'pi0', 'pi05')
CROSS_EVERY = 2  # SmolVLA: each other layer reads the prefix alone

# Several times the largest that is published: modules take memory before any weight is read.
_BOUNDS = {
    **{'num_images': (1, 64), 'proprio_dim': (0, 1024), 'action_dim': (1, 1024)},
    **{'chunk': (1, 1024), 'width': (2, 2**14), 'inner': (1, 2**17), 'depth': (1, 256)},
    **{'num_heads': (1, 512), 'kv_heads': (1, 512), 'head_dim': (2, 1024), 'steps': (1, 1000)},
    **{'state_size': (1, 1024), 'action_size': (1, 1024)},
}


@dataclass(frozen=True)
class FlowConfig:
    """
    Hold the sizes of an expert and of what goes in and out.

    num_images: cameras. proprio_dim, action_dim: numbers of the robot's state and of an action;
    state_size, action_size: what the model pads them to. chunk: actions of an inference. width,
    inner, depth, num_heads, kv_heads, head_dim: of the expert's layers. steps: of the Euler
    integration. min_period, max_period: of the time's embedding. prompt_tokens: longest prompt.
    """

    family: str
    num_images: int
    proprio_dim: int
    action_dim: int
    chunk: int
    width: int
    inner: int
    depth: int
    num_heads: int
    kv_heads: int
    head_dim: int
    steps: int = 10
    state_size: int = 32
    action_size: int = 32
    min_period: float = 0.004
    max_period: float = 4.0
    prompt_tokens: int = 200

    prompt_end: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise CheckpointError(f'family: expected one of {FAMILIES}, found {self.family!r}')
        for name, (low, high) in _BOUNDS.items():
            whole(f'{self.family}: {name}', getattr(self, name), low, high)
        for name in ('min_period', 'max_period'):
            number(f'{self.family}: {name}', getattr(self, name), 1e-9, 1e9)
        for given, size in (('proprio_dim', 'state_size'), ('action_dim', 'action_size')):
            if getattr(self, given) > getattr(self, size):
                raise CheckpointError(
                    f'{self.family}: expected at most {getattr(self, size)} numbers as '
                    f'{given.removesuffix("_dim")}, found {getattr(self, given)}'
                )
        if self.num_heads % self.kv_heads or self.width % 2:
            raise CheckpointError(
                f'{self.family}: expected heads a multiple of the key heads and an even width, '
                f'found {self.num_heads}, {self.kv_heads} and {self.width}'
            )

    @property
    def smolvla(self) -> bool:
        """Return whether this is SmolVLA: Llama's layers, causal, each other one crossed."""
        return self.family == 'smolvla'

    @property
    def adaptive(self) -> bool:
        """Return whether the time modulates the norms (pi0.5), not the action's embedding."""
        return self.family == 'pi05'

    @property
    def state_slot(self) -> bool:
        """Return whether the state is a slot after the text, which no other slot sees."""
        return self.smolvla

    @property
    def state_row(self) -> bool:
        """Return whether the state is a row of the expert, before the actions."""
        return self.family == 'pi0'

    @property
    def state_in_prompt(self) -> bool:
        """Return whether the prompt holds the state as text, and so changes at every step."""
        return self.family == 'pi05'

    def crossed(self, layer: int) -> bool:
        """Return whether a layer reads the prefix alone, through projections of its own."""
        return self.smolvla and layer % CROSS_EVERY != 0

    @property
    def crossed_layers(self) -> list[int]:
        """Return the layers that read the prefix alone."""
        return [layer for layer in range(self.depth) if self.crossed(layer)]

    def build(self, hidden_dim: int) -> nn.Module:
        """Return the expert, its weights random."""
        from vla_cache_ros.vla.flow.expert import FlowExpert

        return FlowExpert(self)

    def products(self, hidden_dim: int) -> Iterable[tuple[float, int, int]]:
        """Return the matrix products of an inference, without those over the prefix's keys."""
        rows, width, inner = self.chunk, self.width, self.inner
        queries, keys = self.num_heads * self.head_dim, self.kv_heads * self.head_dim
        layers: list[tuple[float, int, int]] = []
        for layer in range(self.depth):
            own = 0 if self.crossed(layer) else 2 * keys
            layers += [(rows, width, queries + own), (rows, queries, width)]
            layers += [(rows, width, 2 * inner), (rows, inner, width)]
        once = [(rows, self.action_size, width), (rows, width, self.action_size)]
        if not self.adaptive:
            once += [(rows, width, width), (rows, width, width)]
        return (once + layers) * self.steps
