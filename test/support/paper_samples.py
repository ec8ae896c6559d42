# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files of figures as the commands write them, small, for the book and the tables."""

import json

from bench_samples import costs
from bench_samples import MACHINE
from bench_samples import sample
from fake_comparison import definition
from fake_comparison import record
from fake_comparison import SETTINGS
from vla_cache_ros.evaluation.bench import summary as bench_summary
from vla_cache_ros.evaluation.bench.variants import HF
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.comparison.figures import comparison_figures

MACHINES = [
    {
        'hardware': {'cpu': 'a CPU', 'cores': 2, 'torch_threads': 1, 'gpu': 'a GPU'},
        'versions': {'vla_cache_ros': '0.1.0', 'mujoco': '3.17.0', 'commit': '0123456789ab'},
    }
]


def comparison(labels=('dense', 'vla-cache', 'learned'), episodes=4, **changes):
    """Return the figures of a comparison whose first episode fails for every gate."""
    manifest = {**SETTINGS, 'entries': [definition(label, label) for label in labels]}
    runs = [record(label, seed, seed > 0) for label in labels for seed in range(episodes)]
    return {**comparison_figures(manifest, runs, MACHINES), **changes}


def evaluation(**changes):
    """Return the figures of one gate, as `vla-cache evaluate --json` writes them."""
    run = [record('dense', seed).episode for seed in range(3)]
    extra = {'reuse': None, 'checkpoint': 'tabletop', 'device': 'cpu', 'dtype': 'float32'}
    return {**summarize(run, 'dense', execute_steps=4, seed=0, **extra), **changes}


def bench(**changes):
    """Return the figures of a benchmark of three variants, the cached one twice as fast."""
    variants = {
        Variant(HF, None, capture=False): 120.0,
        Variant('dense', None): 100.0,
        Variant('learned-fixed', 0.7): 50.0,
    }
    samples = {
        variant: [sample(step, total, reuse=variant.reuse or 0.0) for step in range(3)]
        for variant, total in variants.items()
    }
    memory = dict.fromkeys(variants, {'cache': 1.0, 'added': 1.0})
    return {
        'model': 'openvla-7b',
        'random_weights': True,
        'dtype': 'bfloat16',
        'device': 'cpu',
        'seed': 0,
        **bench_summary.summarize(samples, costs(), MACHINE, memory, 'bfloat16'),
        **MACHINES[0],
        **changes,
    }


def write(folder, figures, name='compare.json'):
    """Write figures to a file and return it."""
    path = folder / name
    path.write_text(json.dumps(figures), encoding='utf-8')
    return path
