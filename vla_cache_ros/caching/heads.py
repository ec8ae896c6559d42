# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make actions or tokens of what the decoder leaves, for one cache or several at once.

Knows hidden states, neither slots nor what an action means.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.decoding import ActionWords
from vla_cache_ros.caching.decoding import Said
from vla_cache_ros.caching.work import Phase
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.caching.work import Work
from vla_cache_ros.vla.model import VLAModel


class Heads:
    """Run a model's action head, or its token head."""

    def __init__(self, model: VLAModel) -> None:
        self._model = model

    def noise(self, seed: int, step: int) -> Tensor | None:
        """Return what a chunk of that step is denoised from, None where there is no chance."""
        head = self._model.action_head
        return None if head is None else head.noise(seed, step)

    def decode(
        self,
        hidden: Tensor,
        noise: Tensor | None,
        words: ActionWords,
        proceed: Callable[[list[int], int], Work],
        kin: object,
    ) -> Steps[tuple[np.ndarray, np.ndarray | None, int]]:
        """
        Return the normalised actions `[C, A]`, the token ids of a discrete model, and passes.

        hidden: of the rows that actions are read from, `[r, D]`: C * A, or 1 if greedy.
        noise: see `noise`.
        words: of a discrete model.
        proceed: asks for the hidden states after tokens, from the index of the first on.
        kin: what steps have in common that may share a head.
        """
        if self._model.action_head is not None:
            return (yield Work(Phase.HEAD, self.act, (hidden, noise), kin)), None, 0
        said = yield Work(Phase.HEAD, self.say, hidden, kin)

        def after(tokens: list[int], index: int) -> Steps[Said]:
            hidden = yield proceed(tokens, index)
            return (yield Work(Phase.HEAD, self.say, hidden, kin))

        return (yield from words.read(said, after))

    def act(self, asked: Sequence[tuple[Tensor, Tensor | None]]) -> list[np.ndarray]:
        """Return actions `[C, A]` float64 of hidden states `[r, D]` and noise `[1, ...]`."""
        hidden, noise = zip(*asked, strict=True)
        noise = None if noise[0] is None else torch.cat(noise)
        actions = self._model.action_head(torch.stack(hidden), noise)  # [B, C, A]
        return list(actions.to('cpu', torch.float64).numpy())

    def say(self, asked: Sequence[Tensor]) -> list[Said]:
        """Return what is said after each of the rows `[r, D]`."""
        said = Said.of(self._model.logits(torch.cat(list(asked))))
        return said.split([len(one) for one in asked])
