# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Name what a benchmark compares, and make each of it over one model in memory.

A variant is the plain loop or a policy with a gate, captured or not, with a way of decoding. Every
one has its own small cache; the weights are shared. Knows no timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

import torch
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.caching.gates import EveryGate
from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.caching.gates import LEARNED
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates import VlaCacheGate
from vla_cache_ros.caching.gates.gate_folder import DESCRIPTION
from vla_cache_ros.caching.gates.gate_folder import FOLDER
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.learned import FixedLearnedGate
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.evaluation.bench.hf_loop import HFLoop
from vla_cache_ros.evaluation.bench.hf_loop import NAME as HF
from vla_cache_ros.evaluation.bench.lerobot_loop import LeRobotLoop
from vla_cache_ros.evaluation.bench.lerobot_loop import NAME as LEROBOT
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.shapes import RandomVLA

GREEDY, JACOBI = 'greedy', 'jacobi'
LOOPS = {HF: HFLoop, LEROBOT: LeRobotLoop}  # what keeps nothing from one step to the next
REUSES = (0.0, 0.3, 0.5, 0.7, 0.85)
SHAPE_REUSES = (0.5, 0.7, 0.85)
_EVERY_SECOND = 0.5  # share of the steps that reuse everything
_GREEDY_REUSE = 0.7  # the cached variant of a causal model that runs with both decodings


@dataclass(frozen=True)
class Variant:
    """
    Hold what one variant is.

    gate: 'hf' for the plain loop, 'lerobot' for LeRobot itself, or a gate's name. reuse: what the
    gate is asked for, None for its own. capture, decoding: of the engine; decoding is '' where a
    model decodes no tokens.
    """

    gate: str
    reuse: float | None = None
    capture: bool = True
    decoding: str = ''

    @property
    def name(self) -> str:
        """Return a name that no other variant of a benchmark has."""
        words = [self.gate]
        if self.gate == DenseGate.name:
            words.append('captured' if self.capture else 'uncaptured')
        if self.reuse is not None:
            words.append(f'{100 * self.reuse:g} %')
        if self.decoding and self.gate != HF:
            words.append(self.decoding)
        return ' '.join(words)

    @property
    def exact(self) -> bool:
        """Return whether its actions are those of the plain loop, up to rounding."""
        return self.gate in (HF, DenseGate.name) or self.reuse == 0.0


def list_variants(causal: bool, reuses: Sequence[float], learned: bool) -> list[Variant]:
    """
    Return the variants of a benchmark, the plain loop first.

    causal: whether the model decodes the action's tokens one after another.
    reuses: what `learned-fixed` is asked for. learned: whether the gate that chooses its share
    itself runs too, as it ships.
    """
    dense, fixed = DenseGate.name, FixedLearnedGate.name
    plain, best = (GREEDY, JACOBI) if causal else ('', '')
    shares = sorted(set(reuses))
    found = [
        Variant(HF, capture=False, decoding=plain),
        Variant(dense, capture=False, decoding=plain),
        Variant(dense, decoding=plain),
        *([Variant(dense, decoding=JACOBI)] if causal else []),
        Variant(EveryGate.name, _EVERY_SECOND, decoding=best),
        Variant(VlaCacheGate.name, decoding=best),
        *(Variant(fixed, reuse, decoding=best) for reuse in shares),
    ]
    if causal and shares:
        nearest = min(shares, key=lambda reuse: abs(reuse - _GREEDY_REUSE))
        found.append(Variant(fixed, nearest, decoding=GREEDY))
    if learned:
        found.append(Variant(LearnedGate.name, decoding=best))
    return found


def find_saved_gate(vla: LoadedVLA) -> SavedGate | None:
    """Return the gate that a checkpoint ships, None if it ships none; see load_gate_folder."""
    folder = vla.folder / FOLDER
    if not (folder / DESCRIPTION).exists():
        return None
    config = vla.config
    return load_gate_folder(
        folder, fingerprint=vla.fingerprint, cameras=config.cameras, tokens=config.tokens
    )


def untrained_gate(vla: LoadedVLA) -> SavedGate:
    """Return a gate of the sizes that the model needs: it costs what a trained one does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        grid, width = math.isqrt(vla.config.tokens), vla.config.hidden_dim
        config = GateConfig(cameras=vla.config.cameras, language_dim=width, grid=grid)
        network = GateNetwork(config).requires_grad_(requires_grad=False).eval()
    network.trunk.blocks.to(memory_format=torch.channels_last)  # as those from a folder
    return SavedGate(network, {0.0: 0.0, 1.0: 0.0}, 0.5, {})


def make_actor(
    variant: Variant,
    vla: LoadedVLA,
    saved: SavedGate,
    reuse_towers: bool | None = None,
    recorder: Recorder | None = None,
    empty_cameras: int = 0,
) -> Any:
    """
    Return what acts as the variant says; all of them share the model.

    reuse_towers, recorder: of a policy, see there. empty_cameras: of the loops.
    """
    if variant.gate in LOOPS:
        return LOOPS[variant.gate](vla, empty_cameras=empty_cameras)
    gate: Gate
    if variant.gate in LEARNED:
        gate = LEARNED[variant.gate](saved, variant.reuse)
        if variant.gate == FixedLearnedGate.name:
            gate.first_share = 1.0  # every share then starts from the same full step
    else:
        layers = vla.config.decoder().num_hidden_layers
        asking = layers - bool(vla.config.flow)  # nothing is asked in a prefix's last
        gate = make_gate(variant.gate, reuse=variant.reuse, layers=layers, asking=asking)
    kind = Misled if isinstance(vla, RandomVLA) else Policy
    return kind(
        vla,
        gate,
        capture=variant.capture,
        decoding=variant.decoding or GREEDY,
        reuse_towers=reuse_towers,
        recorder=recorder,
    )


class Misled(Policy):
    """Guess that the arm stands still: random weights repeat an action, and would guess right."""

    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Act as a policy does, some passes of the decoder later."""
        self._engine.words.guess = self._engine.words.still()
        return super().act(observation)
