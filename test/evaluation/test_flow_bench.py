# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark times SmolVLA, pi0 and pi0.5: the plain loop beside them, and their work counted."""

from importlib.util import find_spec
import sys
from types import ModuleType
from types import SimpleNamespace

from bench_samples import observe
from gpu_checks import small
import numpy as np
import pytest
import torch
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode
from vla_cache_ros.evaluation.bench import bench
from vla_cache_ros.evaluation.bench.bench import run_bench
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.lerobot_loop import CLASSES
from vla_cache_ros.evaluation.bench.sampling import make_sample
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.settings import Benchmark
from vla_cache_ros.vla.flow.published import FLOW_SHAPES
from vla_cache_ros.vla.shapes import random_vla

NAMES = [
    *('hf', 'dense uncaptured', 'dense captured', 'every 50 %', 'vla-cache'),
    'learned-fixed 70 %',
]


@pytest.fixture(scope='module', params=FLOW_SHAPES)
def vla(request):
    return random_vla(small(request.param), dtype=torch.float32)


@pytest.mark.parametrize(
    ('gate', 'capture'), [('hf', False), ('dense', False), ('dense', True), ('motion', True)]
)
def test_what_is_counted_is_what_runs(vla, gate, capture):
    variant = Variant(gate, 0.4 if gate == 'motion' else None, capture=capture)
    actor = make_actor(variant, vla, None, empty_cameras=1)
    costs = Costs(vla.config, torch.float32, 7, empty_cameras=1)
    for step in range(2):
        seen, counter = observe(step, 2), FlopCounterMode(display=False)
        with sdpa_kernel(SDPBackend.MATH), counter:
            chunk, report = actor.act(seen)
        sample = make_sample(vla, seen, 0, step, chunk, report)
        counted = sum(costs.stages(step_work(variant, sample, costs)).values(), Work())
        assert counted.macs == pytest.approx(counter.get_total_flops() / 2, rel=1e-3)


def test_all_variants_share_the_weights(vla):
    def held():
        tensors = {**dict(vla.model.named_parameters()), **dict(vla.model.named_buffers())}
        storages = {one.untyped_storage().data_ptr(): one for one in tensors.values()}
        return sum(one.untyped_storage().nbytes() for one in storages.values())

    before = held()
    saved = untrained_gate(vla)
    first, _ = make_actor(Variant('hf'), vla, saved).act(observe())
    plain = make_actor(Variant('hf'), vla, saved)
    for variant in (Variant('dense'), Variant('learned-fixed', 0.7)):
        actor = make_actor(variant, vla, saved)
        actor.act(observe())
    assert held() == before  # joined, not copied
    np.testing.assert_array_equal(plain.act(observe())[0].normalized, first.normalized)


@pytest.mark.parametrize('name', FLOW_SHAPES)
def test_the_shape_runs_from_end_to_end(name, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, 'shape_config', lambda name, cameras: small(name))
    asked = {'shape': name, 'steps': 2, 'reuse': (0.7,), 'dtype': 'float32'}
    figures = run_bench(Benchmark(out=tmp_path, empty_cameras=1, **asked))
    assert figures['checks'] == {'asserted': True, 'differ': [], 'ok': True}
    assert [entry['name'] for entry in figures['entries']] == NAMES
    entries = {entry['name']: entry for entry in figures['entries']}
    assert entries['learned-fixed 70 %']['reuse'] == pytest.approx(0.7, abs=0.01)
    # an absent camera, padding and the last layer
    assert entries['hf']['gmacs'] > 1.4 * entries['dense captured']['gmacs']
    assert figures['cameras'] == 2 and figures['empty_cameras'] == 1
    said = (tmp_path / 'bench.md').read_text()
    assert '2 cameras, and 1 absent ones that hf computes too.' in said
    if find_spec('lerobot') is None:
        assert "lerobot itself was not timed: No module named 'lerobot'." in said


def _lerobot(monkeypatch, family, sample):
    """Put a package in the place of LeRobot whose model of a family calls `sample`."""

    class Model(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            self.config = config
            self.action_in_proj = torch.nn.Linear(2, 2)
            self.paligemma_with_expert = torch.nn.Linear(2, 2)

        def sample_actions(self, *given, noise):
            return sample(self, given, noise)

    settings, model = CLASSES[family]
    for name in ('lerobot', 'lerobot.policies', f'lerobot.policies.{family}'):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for file, name, kind in (
        ('configuration', settings, SimpleNamespace),
        ('modeling', model, Model),
    ):
        module = ModuleType(f'lerobot.policies.{family}.{file}_{family}')
        setattr(module, name, kind)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize('name', FLOW_SHAPES)
def test_lerobot_itself_runs_where_it_is(name, tmp_path, monkeypatch):
    calls = []

    def sample(model, given, noise):
        calls.append((model, given))
        return noise

    _lerobot(monkeypatch, name, sample)
    monkeypatch.setattr(bench, 'shape_config', lambda name, cameras: small(name))
    asked = {'shape': name, 'steps': 2, 'reuse': (0.7,), 'dtype': 'bfloat16'}
    figures = run_bench(Benchmark(out=tmp_path, empty_cameras=1, **asked))
    assert [entry['name'] for entry in figures['entries']] == ['hf', 'lerobot', *NAMES[1:]]
    assert figures['missing'] == {}
    hf, lerobot = figures['entries'][:2]
    assert lerobot['gmacs'] == hf['gmacs'] and not lerobot['exact']
    model, (images, masks, ids, real, *state) = calls[0]
    flow = small(name).flow
    assert model.config.chunk_size == flow.chunk and model.config.max_state_dim == 32
    steps = vars(model.config)['num_steps' if flow.smolvla else 'num_inference_steps']
    assert steps == flow.steps
    assert model.action_in_proj.weight.dtype == torch.float32
    kept = torch.float32 if flow.smolvla else torch.bfloat16
    assert model.paligemma_with_expert.weight.dtype == kept
    side = small(name).image_size
    assert [list(image.shape) for image in images] == [[1, 3, side, side]] * 3
    assert (images[2] == -1).all() and [bool(mask) for mask in masks] == [True, True, False]
    assert ids.shape == real.shape == (1, flow.prompt_tokens)
    assert real.sum() == (60 if name == 'pi05' else 20)
    assert [list(one.shape) for one in state] == ([] if name == 'pi05' else [[1, 32]])


def test_a_lerobot_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    def sample(model, given, noise):
        raise OSError('no weights\nto be had')

    _lerobot(monkeypatch, 'pi0', sample)
    monkeypatch.setattr(bench, 'shape_config', lambda name, cameras: small(name))
    asked = {'shape': 'pi0', 'steps': 2, 'reuse': (0.7,), 'dtype': 'float32'}
    figures = run_bench(Benchmark(out=tmp_path, **asked))
    assert figures['missing'] == {'lerobot': 'no weights to be had'}
    assert [entry['name'] for entry in figures['entries']] == NAMES
