# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gates: each decides from pixels and cache which visual tokens a step recomputes.

`make_gate` finds a gate by its name. Knows of a model the number of its decoder layers and cameras
and the fingerprint that a learned gate has to match.
"""

from pathlib import Path

from vla_cache_ros.caching.gates.base import check_parameters
from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.base import DEFAULT_REUSE
from vla_cache_ros.caching.gates.base import Gate
from vla_cache_ros.caching.gates.dense import DenseGate
from vla_cache_ros.caching.gates.every import EveryGate
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import TOKENS
from vla_cache_ros.caching.gates.learned import FixedLearnedGate
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.motion import MotionGate
from vla_cache_ros.caching.gates.random_choice import RandomGate
from vla_cache_ros.caching.gates.vla_cache import VlaCacheGate
from vla_cache_ros.vla.checkpoint import LoadedVLA

RULES: dict[str, type] = {
    gate.name: gate for gate in (DenseGate, RandomGate, MotionGate, VlaCacheGate, EveryGate)
}
LEARNED: dict[str, type] = {gate.name: gate for gate in (LearnedGate, FixedLearnedGate)}
GATES = RULES | LEARNED
__all__ = [
    'DEFAULT_MAX_AGE',
    'DEFAULT_RECOVERY',
    'DEFAULT_REUSE',
    'GATES',
    'LEARNED',
    'RULES',
    'DenseGate',
    'EveryGate',
    'FixedLearnedGate',
    'Gate',
    'LearnedGate',
    'MotionGate',
    'RandomGate',
    'VlaCacheGate',
    'make_gate',
    'split_gate',
]


def split_gate(text: str, reuse: float | None = None) -> tuple[str, Path | None]:
    """
    Return the name and the folder of `name` or, for a learned gate, `name@folder`.

    Raises ValueError for what needs no model to be seen: an unknown name, a folder for a gate that
    learned nothing, a reuse out of range.
    """
    name, at, folder = text.partition('@')
    if name not in GATES:
        raise ValueError(f'gate: expected one of {", ".join(GATES)}, got {name!r}')
    check_parameters(reuse, DEFAULT_MAX_AGE, DEFAULT_RECOVERY)
    if not at:
        return name, None
    if name not in LEARNED or not folder:
        raise ValueError(
            f"gate: expected a name or, for {', '.join(LEARNED)}, 'name@folder', got {text!r}"
        )
    return name, Path(folder)


def make_gate(
    name: str,
    reuse: float | None = None,
    max_age: int = DEFAULT_MAX_AGE,
    recovery: float = DEFAULT_RECOVERY,
    seed: int = 0,
    layers: int = 32,
    asking: int | None = None,
    folder: str | Path | None = None,
    fingerprint: str = '',
    cameras: int = 2,
    tokens: int = TOKENS,
) -> Gate:
    """
    Return the gate of that name.

    name: dense, random, motion, vla-cache, every, learned or learned-fixed.
    reuse: target mean share of visual token-layers taken from the cache, 0 to 1; for every
        (n - 1) / n for a full step in n. None leaves it to the gate: 0.5, for vla-cache its
        published settings, for a learned gate what its folder says.
    max_age: steps that a token may be reused before it is recomputed.
    recovery: share of the cached tokens that is recomputed at random, 0 to 1.
    seed: start of the gate's random numbers, taken up again at every `reset()`.
    layers: number of decoder layers; only vla-cache's schedule depends on it and on the next.
    asking: of them, those whose text rows attend, the first ones; None: all.
    folder: where a learned gate is; only those need it and what is below.
    fingerprint: of the model's weights.
    cameras: images that the model takes.
    tokens: visual tokens of a camera.

    Raises ValueError: unknown name or a value out of range; the message lists what is accepted.
    Raises CheckpointError: (a ValueError) what is wrong with the folder, or that there is none.
    """
    split_gate(name, reuse)
    if name in LEARNED:
        saved = load_gate_folder(folder, fingerprint=fingerprint, cameras=cameras, tokens=tokens)
        return LEARNED[name](saved, reuse, max_age, recovery, seed)
    if name == VlaCacheGate.name:
        return VlaCacheGate(reuse, max_age, recovery, seed, layers, asking)
    return RULES[name].make(reuse=reuse, max_age=max_age, recovery=recovery, seed=seed)


def gate_for(
    vla: LoadedVLA, name: str, reuse: float | None, seed: int, folder: str | Path | None
) -> Gate:
    """Return a gate for a loaded model; arguments and errors as for `make_gate`."""
    layers = vla.config.decoder().num_hidden_layers
    return make_gate(
        name,
        reuse=reuse,
        seed=seed,
        layers=layers,
        asking=layers - bool(vla.config.flow),  # nothing is asked in a prefix's last
        folder=folder,
        fingerprint=vla.fingerprint,
        cameras=vla.config.cameras,
        tokens=vla.config.tokens,
    )
