# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs end to end, every variant on every observation, and refuses mistakes."""

import json

from bench_samples import observe
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.evaluation.bench import bench
from vla_cache_ros.evaluation.bench.bench import run_bench
from vla_cache_ros.evaluation.bench.growth import back_and_forth
from vla_cache_ros.evaluation.bench.sampling import take_turns
from vla_cache_ros.evaluation.bench.variants import find_saved_gate
from vla_cache_ros.evaluation.bench.variants import list_variants
from vla_cache_ros.evaluation.bench.variants import make_actor
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.settings import Benchmark
from vla_cache_ros.evaluation.turns import fit_cameras
from vla_cache_ros.vla.checkpoint import load_checkpoint

FILES = ['bench.json', 'bench.md', 'bench.png', 'bench.svg']


@pytest.fixture(scope='module', params=[False, True], ids=['oft', 'causal'])
def vla(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    return load_checkpoint(write_checkpoint(folder, causal=request.param))


def test_tabletop_runs_and_writes_its_files(tmp_path):
    figures = run_bench(Benchmark(out=tmp_path / 'out', steps=2, reuse=(0.0, 0.7), busy=1))
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == FILES
    assert json.loads((tmp_path / 'out' / 'bench.json').read_text()) == figures
    names = [entry['name'] for entry in figures['entries']]
    assert names == [
        *('hf', 'dense uncaptured', 'dense captured', 'every 50 %', 'vla-cache'),
        *('learned-fixed 0 %', 'learned-fixed 70 %', 'learned'),
    ]
    assert figures['checks'] == {'asserted': True, 'differ': [], 'ok': True}
    entries = dict(zip(names, figures['entries'], strict=True))
    assert entries['learned-fixed 70 %']['reuse'] == pytest.approx(0.7, abs=0.01)
    assert entries['learned-fixed 70 %']['gmacs'] < 0.5 * entries['dense captured']['gmacs']
    assert figures['trained_gate'] and not figures['random_weights']
    assert figures['timed_steps'] == 2
    assert [entry['name'] for entry in figures['busy']['entries']] == names
    assert figures['busy']['processes'] == 1
    assert '| learned-fixed 70 %' in (tmp_path / 'out' / 'bench.md').read_text()


def test_every_variant_acts_on_every_observation(vla):
    causal = vla.config.oft is None
    saved = untrained_gate(vla)
    variants = list_variants(causal, (0.0, 0.5), learned=True)
    actors = {variant: make_actor(variant, vla, saved) for variant in variants}
    cameras = 1 if causal else 2
    episodes = [[observe(seed, cameras) for seed in range(3)] for _ in range(2)]
    samples = take_turns(actors, lambda _: vla, episodes)
    wanted = [(episode, step) for episode in range(2) for step in range(3)]
    for variant, found in samples.items():
        assert [(s.episode, s.step) for s in found] == wanted, variant.name
        # equal episodes after a reset: equal actions
        for one, other in zip(found[:3], found[3:], strict=True):
            np.testing.assert_array_equal(one.normalized, other.normalized)
        if variant.exact:
            for one, plain in zip(found, samples[variants[0]], strict=True):
                np.testing.assert_allclose(one.normalized, plain.normalized, atol=1e-5)
        # the first step is full whatever the share
        assert {sum(s.active) for s in found if not s.step} == {256 * cameras}
    half = next(v for v in variants if v.gate == 'learned-fixed' and v.reuse == 0.5)
    assert [s.reuse for s in samples[half]] == [0.0, 0.5, 0.5] * 2
    second = next(v for v in variants if v.gate == 'every')
    assert [s.reuse for s in samples[second]] == [0.0, 1.0, 0.0] * 2


def test_the_order_of_turns_changes(vla):
    log = []

    class Logged:
        """An actor that notes its name at every call."""

        def __init__(self, name):
            self.name = name
            self.actor = make_actor(Variant('hf'), vla, None)
            self.reset = self.actor.reset

        def act(self, observation):
            log.append(self.name)
            return self.actor.act(observation)

    actors = {Variant('dense', r): Logged(str(r)) for r in (0.1, 0.2, 0.3)}
    cameras = 1 if vla.config.oft is None else 2
    take_turns(actors, lambda _: vla, [[observe(0, cameras)] * 3])
    turns = [tuple(log[i : i + 3]) for i in range(0, 9, 3)]
    assert len(set(turns)) == 3 and all(sorted(t) == ['0.1', '0.2', '0.3'] for t in turns)


def test_a_model_without_a_gate_gets_an_untrained_one_of_its_sizes(vla):
    assert find_saved_gate(vla) is None
    config = untrained_gate(vla).network.config
    assert config.cameras == (1 if vla.config.oft is None else 2)
    assert config.language_dim == 32


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'shape': 'pi1'}, 'shape: expected one of cogact-7b, openvla-7b, .* got .pi1'),
        ({'shape': 'openvla-7b', 'cameras': 2}, 'cameras: expected 1 for openvla-7b, got 2'),
        ({'cameras': 2}, 'cameras: expected a shape beside them, got 2'),
        ({'shape': 'openvla-7b', 'empty_cameras': 1}, 'empty_cameras: expected the shape smolvla'),
        ({'shape': 'pi0', 'empty_cameras': -1}, 'empty_cameras: expected at least 0, got -1'),
        ({'shape': 'openvla-7b', 'checkpoint': 'tabletop'}, 'expected no checkpoint beside it'),
        ({'steps': 1}, 'steps: expected at least 2, got 1'),
        ({'reuse': (1.5,)}, 'reuse: expected from 0 to 1, got 1.5'),
        ({'dtype': 'int4'}, 'dtype: expected one of float32'),
        ({'busy': -1}, 'busy: expected at least 0, got -1'),
        ({'device': 'cuda:99'}, 'device: expected'),
        ({'checkpoint': '/does/not/exist'}, '/does/not/exist'),
    ],
)
def test_mistakes_are_refused_in_one_line(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        run_bench(Benchmark(out=tmp_path, **arguments))
    assert '\n' not in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_refused_before_anything_is_recorded(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(bench, 'record_episodes', None)
    with pytest.raises(ValueError, match='no_such_model'):
        run_bench(Benchmark(out=tmp_path, checkpoint='no_such_model'))


def test_frames_go_back_and_forth():
    assert [back_and_forth(step, 4) for step in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]
    assert [back_and_forth(step, 1) for step in range(3)] == [0, 0, 0]


def test_cameras_are_taken_over_and_over():
    one, other = observe(cameras=2).images
    images = fit_cameras(observe(cameras=2), 3).images
    assert [image is other for image in images] == [False, False, False]
    np.testing.assert_array_equal(images[2], one)
    np.testing.assert_array_equal(images[1], other)
    assert len(fit_cameras(observe(cameras=2), 1).images) == 1
