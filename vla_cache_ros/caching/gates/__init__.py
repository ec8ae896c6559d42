# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The gates: each decides from pixels and cache which visual tokens a step recomputes.

`make_gate` finds a gate by its name. Knows no model beyond its number of decoder layers.
"""

from vla_cache_ros.caching.gates.base import DEFAULT_MAX_AGE
from vla_cache_ros.caching.gates.base import DEFAULT_RECOVERY
from vla_cache_ros.caching.gates.base import DEFAULT_REUSE
from vla_cache_ros.caching.gates.base import Gate
from vla_cache_ros.caching.gates.dense import DenseGate
from vla_cache_ros.caching.gates.motion import MotionGate
from vla_cache_ros.caching.gates.random_choice import RandomGate
from vla_cache_ros.caching.gates.vla_cache import VlaCacheGate

GATES: dict[str, type] = {
    gate.name: gate for gate in (DenseGate, RandomGate, MotionGate, VlaCacheGate)
}
__all__ = [
    'DEFAULT_MAX_AGE',
    'DEFAULT_RECOVERY',
    'DEFAULT_REUSE',
    'GATES',
    'DenseGate',
    'Gate',
    'MotionGate',
    'RandomGate',
    'VlaCacheGate',
    'make_gate',
]


def make_gate(
    name: str,
    reuse: float | None = None,
    max_age: int = DEFAULT_MAX_AGE,
    recovery: float = DEFAULT_RECOVERY,
    seed: int = 0,
    layers: int = 32,
) -> Gate:
    """
    Return the gate of that name.

    Args:
        name: dense, random, motion or vla-cache.
        reuse: target mean share of visual token-layers taken from the cache, 0 to 1. None leaves
            it to the gate: 0.5, and for vla-cache its published settings.
        max_age: steps that a token may be reused before it is recomputed.
        recovery: share of the cached tokens that is recomputed at random, 0 to 1.
        seed: start of the gate's random numbers, taken up again at every `reset()`.
        layers: number of decoder layers; only vla-cache's schedule depends on it.

    Raises:
        ValueError: unknown name or a value out of range; the message lists what is accepted.

    """
    if name not in GATES:
        raise ValueError(f'gate: expected one of {", ".join(GATES)}, got {name!r}')
    return GATES[name].make(
        reuse=reuse, max_age=max_age, recovery=recovery, seed=seed, layers=layers
    )
