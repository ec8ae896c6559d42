# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Blend what successive chunks say about the present step, as CogACT's evaluation does.

A chunk is inferred at every step; older ones have said something about it too. Each counts by how
alike it is to the newest: exp(alpha * cosine). Wraps any actor; knows no model or simulator.
"""

from collections import deque

import numpy as np
from vla_cache_ros.environments.environment import Actor
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

ALPHA = 0.1  # sharpness, for both of CogACT's robots
BRIDGE_HORIZON = 7  # chunks that are blended, for BridgeData V2
GUARD = 1e-7  # of a cosine with a vector of length zero


class EnsembledActor:
    """Act as another actor, with one blended action a step in place of a chunk."""

    def __init__(self, actor: Actor, horizon: int = BRIDGE_HORIZON, alpha: float = ALPHA) -> None:
        """
        Wrap an actor.

        horizon: chunks that are blended, the newest one included. alpha: 0 is a plain mean.
        Raises ValueError for a horizon below 1.
        """
        if horizon < 1:
            raise ValueError(f'horizon: expected at least 1, got {horizon}')
        self._actor, self._alpha = actor, alpha
        self._chunks: deque[ActionChunk] = deque(maxlen=horizon)

    def reset(self, cause: str = 'episode_reset') -> None:
        """Start an episode: forget the chunks of the last one."""
        self._chunks.clear()
        self._actor.reset(cause)

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """
        Return one action `[1, A]`, and what it cost the wrapped actor.

        To be called at every control step. Weights come from actions in the units of the training
        data and blend the normalised ones too. Raises ValueError if a chunk is shorter than the
        horizon, for it then says nothing about the present step.
        """
        chunk, report = self._actor.act(observation)
        horizon = self._chunks.maxlen or 1
        if len(chunk.actions) < horizon:
            raise ValueError(
                f'chunk: expected at least {horizon} actions, as many as chunks are blended, '
                f'found {len(chunk.actions)}'
            )
        self._chunks.append(chunk)
        steps = range(len(self._chunks) - 1, -1, -1)  # since each was inferred
        pairs = list(zip(steps, self._chunks, strict=True))
        actions = np.stack([old.actions[step] for step, old in pairs])  # [n, A]
        normalized = np.stack([old.normalized[step] for step, old in pairs])
        weights = ensemble_weights(actions, self._alpha)
        return ActionChunk((weights @ actions)[None], (weights @ normalized)[None]), report


def ensemble_weights(actions: np.ndarray, alpha: float) -> np.ndarray:
    """Return weights `[n]` with a sum of one for actions `[n, A]`, the newest one last."""
    newest = actions[-1]
    lengths = np.linalg.norm(actions, axis=1) * np.linalg.norm(newest)
    weights = np.exp(alpha * (actions @ newest) / (lengths + GUARD))
    return weights / weights.sum()
