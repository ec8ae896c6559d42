# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the biases that make a learned gate reuse a requested share on average.

The gate reads pixels and ages alone, so recordings are walked through without the model. The
share is the mean over cached steps. Knows nothing of training.
"""

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.provenance import Provenance

from .recordings import Recordings

REQUESTS = tuple(round(0.3 + 0.05 * i, 2) for i in range(12))  # 0.30 to 0.85
HALVINGS = 10
RECORDINGS = 40
LIMIT = 64.0  # bias beyond which every step takes an extreme ratio


def calibrate(
    network: GateNetwork, recordings: Recordings, language: dict[str, Tensor]
) -> dict[float, float]:
    """
    Return {requested mean reuse: bias} over the held-out recordings, by bisection.

    language: instruction -> embedding, for a network that sees language.
    """
    found: dict[float, float] = {}
    for request in REQUESTS:
        low, high = max(found.values(), default=-LIMIT), LIMIT
        for _ in range(HALVINGS):
            bias = (low + high) / 2
            if mean_reuse(network, recordings, language, bias) < request:
                low = bias
            else:
                high = bias
        found[request] = (low + high) / 2
    return found


def mean_reuse(
    network: GateNetwork, recordings: Recordings, language: dict[str, Tensor], bias: float
) -> float:
    """Return the mean share that cached steps of the held-out recordings reuse."""
    saved = SavedGate(network, {0.5: bias}, 0.5, {})
    gate = LearnedGate(saved, recovery=DEFAULT_RECOVERY)
    shares = []
    with torch.inference_mode():
        for run in recordings.held_out[:RECORDINGS]:
            gate.reset()
            if network.config.language_dim:
                gate.instruct(language[recordings.instruction(run[0])])
            past = Provenance(network.config.tokens)
            for index, frame in enumerate(run):
                images = recordings.frames.images(np.array([frame]))[0]
                plan = gate.plan(images, past)
                past.commit(plan.active, patchify(images))
                if index:
                    shares.append(1 - plan.active.mean())
    return float(np.mean(shares))
