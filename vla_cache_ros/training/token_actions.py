# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
See a model with action tokens as one with continuous actions, so that effects are in one unit.

What such a model is fed are its own dense tokens, since recordings have no labels. Knows no cache
and no gate.
"""

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import VLAConfig


class DenseTokens:
    """Ask the dense model for the action tokens of frames, once for each."""

    def __init__(self, vla: LoadedVLA, recordings: Recordings) -> None:
        """Ask nothing yet."""
        self._policy, self._recordings = Policy(vla, DenseGate()), recordings
        self._tokens = ActionTokens(vla.config.action_vocab_end, vla.config.n_action_bins)
        self._known: dict[int, np.ndarray] = {}

    def __call__(self, rows: np.ndarray) -> Tensor:
        """Return the tokens that greedy decoding gives, ids `[B, A]`."""
        return torch.from_numpy(np.stack([self._of(int(row)) for row in rows]))

    def _of(self, row: int) -> np.ndarray:
        if row not in self._known:
            images = tuple(self._recordings.frames.images(np.array([row]))[0])
            seen = Observation(images, self._recordings.instruction(row))
            chunk, _ = self._policy.act(seen)
            self._known[row] = self._tokens.encode(chunk.normalized[0])
        return self._known[row]


def expected_actions(config: VLAConfig, logits: Tensor) -> Tensor:
    """
    Return the mean normalised actions `[B, 1, A]` that logits `[B, A, vocabulary]` stand for.

    Unlike the likeliest token's action it moves with every logit, and so has a gradient.
    """
    ids = np.arange(config.action_vocab_end - config.n_action_bins, config.action_vocab_end)
    centers = ActionTokens(config.action_vocab_end, config.n_action_bins).decode(ids)
    shares = logits[..., ids[0] : ids[-1] + 1].softmax(-1)  # [B, A, bins]
    return (shares @ torch.from_numpy(centers).to(shares))[:, None]
