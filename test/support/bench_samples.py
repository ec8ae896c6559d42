# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Observations for small models, and made-up samples of a benchmark."""

import numpy as np
from tiny_model import tiny_config
import torch
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.roofline import Machine
from vla_cache_ros.evaluation.bench.sampling import Sample
from vla_cache_ros.types import Observation

MACHINE = Machine(macs=1e9, copied=1e9, matrix=(1, 2, 3))


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (224, 224, 3), dtype=np.uint8)


def observe(seed=0, cameras=2, instruction='pick up the red cube'):
    images = tuple(picture(10 * seed + camera) for camera in range(cameras))
    return Observation(images, instruction, np.linspace(-0.5, 0.5, 8))


def costs(causal=False):
    return Costs(tiny_config(causal), torch.float32, 7)


def sample(step, total, actions=None, **changes):
    """Return a dense step of two cameras whose decoder takes all of the time."""
    laps = {'preprocess': 0.0, 'gate': 0.0, 'vision': 0.0, 'decoder': total, 'decode': 0.0}
    fields = {
        'episode': 0,
        'step': step,
        'text': 16,
        'latency_ms': {**laps, 'total': total},
        'reuse': 0.0,
        'refresh': '' if step else 'first_step',
        'active': (256, 256),
        'passes': 0,
        'normalized': np.zeros((8, 7)) if actions is None else actions,
    }
    return Sample(**{**fields, **changes})
