# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The learned gates: a network scores the tokens and chooses how many of them a step reuses.

`learned` decides both, `learned-fixed` keeps the share that it is asked for. The network runs on
the CPU, wherever the model does, and reads no output of the model. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import BudgetGate
from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.base import full_plan
from vla_cache_ros.caching.gates.base import refresh_reason
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.types import StepPlan

CAMERA_CUT = 'camera_cut'


class FixedLearnedGate(BudgetGate):
    """
    Recompute a fixed share of the tokens, those that the selector scores highest.

    language_dim: length of the embedding that `instruct` takes, 0 if the gate sees no language.
    ratio: share that the last plan reuses, before age limit and recovery; 0 for a full plan.
    """

    name = 'learned-fixed'

    def __init__(
        self,
        saved: SavedGate,
        reuse: float | None = None,
        max_age: int = DEFAULT_MAX_AGE,
        recovery: float = DEFAULT_RECOVERY,
        seed: int = 0,
    ) -> None:
        self._network = saved.network
        self._input = MotionInput()
        self._language: Tensor | None = None
        self.language_dim = saved.network.config.language_dim
        super().__init__(saved.default_reuse if reuse is None else reuse, max_age, recovery, seed)

    def reset(self) -> None:
        """Forget the previous frame and start the random numbers anew; the instruction stays."""
        super().reset()
        self._input.reset()
        self.ratio = 0.0

    def instruct(self, embedding: Tensor) -> None:
        """Take the instruction, the mean `[language_dim]` of its prompt's token embeddings."""
        if list(embedding.shape) != [self.language_dim]:
            raise ValueError(
                f'instruction embedding: expected [{self.language_dim}], '
                f'found {list(embedding.shape)}'
            )
        self._language = embedding.detach().to('cpu', torch.float32)[None]  # [1, language_dim]

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """
        Return the plan for images `[cams, 224, 224, 3]` uint8 against the episode cache.

        Everything is recomputed on an invalid cache and where a camera shows another scene. Raises
        ValueError for another number of cameras, or if a gate that needs it has no instruction.
        """
        config = self._network.config
        if len(pixels) != config.cameras:
            raise ValueError(f'images: expected {config.cameras} cameras, found {len(pixels)}')
        self.ratio = 0.0
        if not cache.valid:
            self._input.remember(pixels)
            return full_plan(config.tokens, refresh_reason(cache))
        planes = self._input(pixels, cache.pixels, cache.ages())  # [cams, 7, 112, 112]
        if self._input.cut:
            return full_plan(config.tokens, CAMERA_CUT)
        with torch.inference_mode(), _one_thread():
            logits, ratio_logits = self._network(torch.from_numpy(planes)[None], self._language)
        self.ratio = self.choose_ratio(ratio_logits[0].numpy())
        # by logits: far from zero their sigmoids, which are reported, would be equal
        plan = self.choose(logits[0].numpy(), self.ratio, cache)
        return replace(plan, scores=logits[0].sigmoid().numpy())

    def choose_ratio(self, logits: np.ndarray) -> float:
        """Return the share to reuse: here the one asked for, whatever the logits `[ratios]`."""
        return self.reuse


class LearnedGate(FixedLearnedGate):
    """
    Let the predictor choose the share of every step too.

    reuse: mean over cached steps, reached by the bias that calibration found for it. bias: that
    one. probabilities: of the ratios at the last plan, with the bias, None for a full plan.
    """

    name = 'learned'

    def __init__(
        self,
        saved: SavedGate,
        reuse: float | None = None,
        max_age: int = DEFAULT_MAX_AGE,
        recovery: float = DEFAULT_RECOVERY,
        seed: int = 0,
    ) -> None:
        super().__init__(saved, reuse, max_age, recovery, seed)
        self.bias = saved.bias(self.reuse)
        self._ratios = np.array(saved.network.config.ratios)

    def reset(self) -> None:
        """Forget the episode, as the fixed gate does."""
        super().reset()
        self.probabilities: np.ndarray | None = None

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """Return the plan, as the fixed gate does, with the share that the predictor chooses."""
        self.probabilities = None
        return super().plan(pixels, cache)

    def choose_ratio(self, logits: np.ndarray) -> float:
        """Return the share to reuse: the ratio that is likeliest once the bias is added."""
        biased = logits + self.bias * self._ratios  # [ratios]
        weights = np.exp(biased - biased.max())
        self.probabilities = weights / weights.sum()
        return float(self._ratios[biased.argmax()])


@contextmanager
def _one_thread() -> Iterator[None]:
    """
    Keep torch to the calling thread for a while.

    The network is so small that a second core gains nothing, but waiting for one that another
    process has taken costs up to a hundred milliseconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
