# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of the slot engine on images that move, for the tests of it."""

import numpy as np
import torch
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.types import StepPlan

LONG = tuple(range(1, 30))  # a prompt
SHORT = tuple(range(3, 12))
PROPRIO = np.linspace(-0.5, 0.5, 8).astype(np.float32)


class Counting(Direct):
    """Record nothing, but note what would be."""

    def __init__(self):
        self.names = []

    def record(self, name, work):
        self.names.append(name)
        return super().record(name, work)


def frames(model, count, seed=0):
    """Return images in which a bright square moves over a noisy but still background."""
    oft = model.config.oft
    cameras = 1 if oft is None else oft.num_images
    still = np.random.default_rng(seed).integers(0, 200, (cameras, 224, 224, 3), dtype=np.uint8)
    out = []
    for i in range(count):
        image = still.copy()
        image[:, 60:100, 20 + 30 * i : 60 + 30 * i] = 250
        out.append(image)
    return out


def run(engine, pixels, active=None, ids=LONG, layers=(), probe_layers=(), refresh=''):
    values = engine.encode(pixels)
    if active is None:
        active = np.ones(engine.layout.visual_tokens, dtype=bool)
    proprio = PROPRIO if engine.layout.proprio else None
    plan = StepPlan(active, layers, refresh)
    return engine.step(pixels, values, ids, proprio, plan, probe_layers)


def looked(engine, pixels, active, ids=LONG):
    """Run a step whose towers began before the plan was made, as a policy does on a GPU."""
    values = engine.encode(pixels)
    features = engine.look(values, ids)
    proprio = PROPRIO if engine.layout.proprio else None
    return engine.step(pixels, values, ids, proprio, StepPlan(active), features=features)


def nothing(engine):
    return np.zeros(engine.layout.visual_tokens, dtype=bool)


def choice(engine, share, seed):
    generator = np.random.default_rng(seed)
    return generator.random(engine.layout.visual_tokens) < share


def contents(engine, ids=LONG):
    """Return K and V `[2, layers, heads, L, head_dim]` in the order of rotary positions."""
    order = np.argsort(engine.layout.positions(len(ids) - 1))
    pairs = [[layer.keys[0], layer.values[0]] for layer in engine.cache.layers]
    stacked = torch.stack([torch.stack(pair) for pair in pairs], dim=1)
    return stacked[:, :, :, order].numpy()
