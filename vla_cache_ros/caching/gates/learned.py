# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The learned gates: a network scores the tokens and chooses how many of them a step reuses.

`learned` decides both, `learned-fixed` keeps the share that it is asked for. The network runs on
the CPU, wherever the model does, and reads no output of the model. Knows nothing of training.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.gates.base import BudgetGate
from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.base import refresh_reason
from vla_cache_ros.caching.gates.cell_network import CellNetwork
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.motion_input import AGE_SCALE
from vla_cache_ros.caching.gates.motion_input import Motion
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import PATCH_VALUES
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.types import StepPlan

CAMERA_CUT = 'camera_cut'


class FixedLearnedGate(BudgetGate):
    """
    Recompute a fixed share of the tokens, those that the selector scores highest.

    language_dim: length of the embedding that `instruct` takes, 0 if the gate sees no language.
    first_share: of the tokens, which an episode's first step computes; the second adds the rest.
    ratio: share that the last plan reuses, before age limit and recovery; 0 for a full plan.
    fingerprint: of the gate's weights.
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
        self._network = CellNetwork(saved.network)
        self._input = MotionInput()
        self._instructed = False
        self.first_share = saved.first_share
        self.fingerprint = saved.fingerprint
        self.language_dim = saved.network.config.language_dim
        self.largest_reuse = max(saved.calibration)
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
        self._network.instruct(embedding.detach().to('cpu', torch.float32))
        self._instructed = True

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """
        Return the plan for images `[cams, S, S, 3]` uint8 against the episode cache.

        An episode's first step computes the first share, the second the rest too. Everything is
        recomputed on a cache that is invalid later on, as after a gap, when the arm may be at
        work, and where a camera shows another scene. Raises ValueError for another number of
        cameras, or if a gate that needs it has no instruction.
        """
        config = self._network.config
        if len(pixels) != config.cameras:
            raise ValueError(f'images: expected {config.cameras} cameras, found {len(pixels)}')
        self.ratio = 0.0
        if not cache.valid:
            if self.first_share < 1 and not cache.step:
                return self._first_plan(pixels, refresh_reason(cache))
            self._input.remember(pixels)
            return full_plan(config.tokens, refresh_reason(cache))
        ages = cache.ages()
        motion = self._input.see(pixels, cache.pixels)
        if self._input.cut:
            return full_plan(config.tokens, CAMERA_CUT)
        logits, ratio_logits = self._ask(motion, ages)
        self.ratio = self.choose_ratio(ratio_logits)
        # by logits: far from zero their sigmoids, which are reported, would be equal; the absent
        # come on top of the budget
        wanted = np.where(cache.present, logits, -np.inf)
        plan = self.choose(wanted, self.ratio, cache)
        return replace(plan, active=plan.active | ~cache.present, scores=_sigmoid(logits))

    def _first_plan(self, pixels: np.ndarray, reason: str) -> StepPlan:
        """Return the plan of an episode's first step: its share, as if all had changed."""
        tokens = self._network.config.tokens
        self._input.reset()
        nothing = np.zeros((tokens, PATCH_VALUES), dtype=np.uint8)
        logits, _ = self._ask(self._input.see(pixels, nothing), np.full(tokens, AGE_SCALE))
        active = np.zeros(tokens, dtype=bool)
        active[np.argsort(-logits, kind='stable')[: round(self.first_share * tokens)]] = True
        return StepPlan(active, refresh=reason, scores=_sigmoid(logits))

    def _ask(self, motion: Motion, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the network's score logits `[V]` and ratio logits `[ratios]`."""
        if self.language_dim and not self._instructed:
            raise ValueError(f'gate language: expected [{self.language_dim}], found None')
        return self._network(motion, ages)

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
        self._find_bias = saved.bias
        self.bias = saved.bias(self.reuse)
        self._ratios = np.array(saved.network.config.ratios)

    def reset(self) -> None:
        """Forget the episode, as the fixed gate does."""
        super().reset()
        self.probabilities: np.ndarray | None = None

    def ask(self, reuse: float) -> None:
        """Aim at another mean from the next plan on; raises ValueError if not calibrated."""
        self.bias = self._find_bias(reuse)
        self.reuse = reuse

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


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).sigmoid().numpy()
