# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the biases that make a learned gate reuse a requested share on average.

The gate reads pixels and ages alone, so recordings are walked through without the model. The
share is the mean over cached steps. Knows nothing of training.
"""

from math import ceil

import numpy as np
from torch import Tensor
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.patches import PATCH
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.provenance import Provenance
from vla_cache_ros.training.batches import gate_pictures
from vla_cache_ros.training.recordings import Recordings

REQUESTS = tuple(round(0.3 + 0.05 * i, 2) for i in range(12))  # 0.30 to 0.85
RECORDINGS = 40  # at most
FAR = 1e4  # from 0: no bias is farther
NEAR = 1e-3  # the first step up from 0
WALKS = 6  # per request: what a bias chooses changes what the gate sees next


def calibrate(
    network: GateNetwork,
    recordings: Recordings,
    language: dict[str, Tensor],
    first_share: float = 1.0,
) -> dict[float, float]:
    """
    Return {requested mean reuse: bias} over held-out recordings, biases never falling.

    language: instruction -> embedding, for a network that sees language.
    """
    ratios = np.array(network.config.ratios)
    found: dict[float, float] = {}
    fresh = walk(network, recordings, language, -FAR, first_share)
    low = bias = solve(fresh, ratios, REQUESTS[0])  # with stale tokens a gate reuses fewer
    for request in REQUESTS:
        high = FAR
        errors: dict[float, float] = {}  # by bias walked with
        for _ in range(WALKS):
            logits = walk(network, recordings, language, bias, first_share)
            share = chosen(logits, ratios, bias).mean()
            errors[bias] = abs(share - request)
            if share < request:
                low = max(low, bias)
            else:
                high = min(high, bias)
            bias = solve(logits, ratios, request)
            if not low < bias < high:  # the next walk would undo it
                # while nothing has been too much yet, halfway to FAR would reuse everything
                bias = (low + high) / 2 if high < FAR else low + max(abs(low), NEAR)
        found[request] = low = bias = min(errors, key=errors.__getitem__)
    return found


def chosen(logits: np.ndarray, ratios: np.ndarray, bias: float) -> np.ndarray:
    """Return the ratios `[steps]` that logits `[steps, ratios]` choose under a bias."""
    return ratios[(logits + bias * ratios).argmax(1)]


def solve(logits: np.ndarray, ratios: np.ndarray, request: float) -> float:
    """Return the bias with which logits `[steps, ratios]` choose a mean ratio of `request`."""
    low, high = -FAR, FAR
    for _ in range(60):
        bias = (low + high) / 2
        if chosen(logits, ratios, bias).mean() < request:
            low = bias
        else:
            high = bias
    return (low + high) / 2


def walk(
    network: GateNetwork,
    recordings: Recordings,
    language: dict[str, Tensor],
    bias: float,
    first_share: float,
) -> np.ndarray:
    """Return the ratio logits `[steps, ratios]` of all cached steps under a bias."""
    gate = _Listening(SavedGate(network, {0.5: bias}, 0.5, {}, first_share))
    for run in recordings.held_out[:: ceil(len(recordings.held_out) / RECORDINGS)]:
        gate.reset()
        if network.config.language_dim:
            gate.instruct(language[recordings.instruction(run[0])])
        past = Provenance(network.config.tokens)
        for frame in run:
            size = PATCH * network.config.grid
            images = gate_pictures(recordings, np.array([frame]), size)[0]
            past.commit(gate.plan(images, past).active, patchify(images))
    return np.stack(gate.heard)


class _Listening(LearnedGate):
    """Keep the logits of every choice."""

    def __init__(self, saved: SavedGate) -> None:
        super().__init__(saved)
        self.heard: list[np.ndarray] = []

    def choose_ratio(self, logits: np.ndarray) -> float:
        """Choose as ever."""
        self.heard.append(logits)
        return super().choose_ratio(logits)
