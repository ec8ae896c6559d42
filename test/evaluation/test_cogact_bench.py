# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark times CogACT too: the plain loop beside it, and its work counted."""

from bench_samples import observe
import numpy as np
import pytest
from tiny_cogact import cogact_config
import torch
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode
from vla_cache_ros.evaluation.bench import bench
from vla_cache_ros.evaluation.bench.bench import run_bench
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.sampling import make_sample
from vla_cache_ros.evaluation.bench.sampling import take_turns
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.variants import list_variants
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.settings import Benchmark
from vla_cache_ros.vla.shapes import random_vla


@pytest.fixture(scope='module')
def vla():
    return random_vla(cogact_config(), dtype=torch.float32)


def test_the_plain_loop_and_the_exact_variants_act_alike(vla):
    variants = list_variants(vla.config.decodes_tokens, (0.0, 0.5), learned=False)
    assert {variant.decoding for variant in variants} == {''}
    saved = untrained_gate(vla)
    actors = {variant: make_actor(variant, vla, saved) for variant in variants}
    samples = take_turns(actors, lambda _: vla, [[observe(seed, 1) for seed in range(3)]])
    plain = samples[variants[0]]
    for variant, found in samples.items():
        assert all(sample.passes == 0 for sample in found)
        if variant.exact:
            for one, other in zip(found, plain, strict=True):
                np.testing.assert_allclose(one.normalized, other.normalized, atol=1e-5)


@pytest.mark.parametrize('gate, rel', [('hf', 0.001), ('dense', 0.001), ('motion', 0.001)])
def test_what_is_counted_is_what_runs(vla, gate, rel):
    variant = Variant(gate, 0.4 if gate == 'motion' else None, capture=False)
    actor, costs = make_actor(variant, vla, None), Costs(vla.config, torch.float32, 7)
    for step in range(2):
        seen, counter = observe(step, 1), FlopCounterMode(display=False)
        with sdpa_kernel(SDPBackend.MATH), counter:
            chunk, report = actor.act(seen)
        sample = make_sample(vla, seen, 0, step, chunk, report)
        counted = sum(costs.stages(step_work(variant, sample, costs)).values(), Work())
        assert counted.macs == pytest.approx(counter.get_total_flops() / 2, rel=rel)


def test_the_shape_runs_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, 'shape_config', lambda name, cameras: cogact_config())
    asked = {'shape': 'cogact-7b', 'steps': 2, 'reuse': (0.5,), 'dtype': 'float32'}
    figures = run_bench(Benchmark(out=tmp_path, **asked))
    assert figures['checks'] == {'asserted': True, 'differ': [], 'ok': True}
    assert [entry['name'] for entry in figures['entries']] == [
        *('hf', 'dense uncaptured', 'dense captured', 'every 50 %', 'vla-cache'),
        'learned-fixed 50 %',
    ]
