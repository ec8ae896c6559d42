# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small learned gates, their folders and an episode that moves, for the tests of each."""

from fake_cache import FakeCache
from scenery import view
import torch
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates.gate_folder import save_gate
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork

NAMES = ['learned', 'learned-fixed']
CALIBRATION = {0.2: -8.0, 0.5: 0.0, 0.9: 8.0}
FINGERPRINT = 'abc'


def network(seed=0, **sizes):
    """Return a network whose scores and ratios depend on what it sees."""
    torch.manual_seed(seed)
    made = GateNetwork(GateConfig(**{'width': 16, 'depth': 2, **sizes}))
    torch.nn.init.normal_(made.selector.weight, std=0.5)
    torch.nn.init.normal_(made.predictor[-1].weight, std=4.0)
    return made.eval()


def saved(seed=0, **sizes):
    return SavedGate(network(seed, **sizes), CALIBRATION, 0.5, {})


def write_gate(folder, made=None, fingerprint=FINGERPRINT, first_share=1.0):
    save_gate(
        folder,
        made or network(),
        fingerprint=fingerprint,
        calibration=CALIBRATION,
        default_reuse=0.5,
        training={'updates': 3},
        first_share=first_share,
    )
    return folder


def gate_of(name, folder, **arguments):
    return make_gate(name, folder=folder, fingerprint=FINGERPRINT, cameras=2, **arguments)


def frames(count):
    """Return the images of an episode that moves, by a little more at every step."""
    return [view(i * (i + 1) // 2, i) for i in range(count)]


def play(gate, count=6):
    """Return the plans of an episode, the first of them full."""
    cache, plans = FakeCache(), []
    for frame in frames(count):
        plans.append(gate.plan(frame, cache))
        cache.apply(frame, plans[-1])
    return plans


def inputs(batch=1, cameras=2, seed=0):
    return torch.rand(batch, cameras, 7, 112, 112, generator=torch.manual_seed(seed)) * 2 - 1
