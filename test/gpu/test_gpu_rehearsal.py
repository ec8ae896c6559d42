# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`make gpu` runs on a CPU at toy sizes, so that it can be trusted where there is a GPU."""

import json
from pathlib import Path
import subprocess
import sys

import gpu_bench
from gpu_bench import bound
from gpu_bench import list_rows
from gpu_checks import Check
from gpu_checks import check_model
from gpu_checks import small
from gpu_checks import summary
from gpu_frames import read_frames
from gpu_frames import write_frames
import numpy as np
import pytest
from run_gpu import ORDER
from run_gpu import run_gpu
import torch
from vla_cache_ros.caching.recording.batch import Batch
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import SHAPES


@pytest.fixture(scope='module')
def figures(tmp_path_factory):
    out = tmp_path_factory.mktemp('gpu')
    found = run_gpu(out, 'cpu', minutes=60, long_run=10, most_frames=3)
    assert json.loads((out / 'gpu.json').read_text()) == json.loads(json.dumps(found))
    return found, (out / 'gpu.md').read_text()


@pytest.mark.slow
def test_every_check_passes_and_every_variant_runs(figures):
    found, _ = figures
    assert found['checks']['failed'] == [] and found['checks']['of'] > 80
    shapes = [shape['shape'] for shape in found['shapes']]
    assert shapes == list(ORDER)
    for shape in found['shapes']:
        assert shape['failed'] == {}
        names = [entry['name'] for entry in shape['entries']]
        assert len(set(names)) == len(names)
        assert {'hf eager', 'dense recorded', 'every 2', 'learned 70 %'} < set(names)
        reuse = {entry['name']: entry['reuse'] for entry in shape['entries']}
        assert reuse['dense recorded'] == 0
        assert reuse['learned 70 %'] == pytest.approx(0.7, abs=0.01)


@pytest.mark.slow
def test_the_table_says_that_nothing_was_measured_on_a_gpu(figures):
    found, text = figures
    assert found['rehearsal'] and found['card'] is None
    assert text.startswith('REHEARSAL on a CPU')
    assert text.count('| dense recorded |') == len(ORDER)
    assert text.count(', several sessions:') == 2
    assert text.count('By these rates 70 % reuse can be ') == len(ORDER)


def test_a_bound_is_the_quotient_of_floors_with_and_without_the_towers():
    def entry(name, total, vision):
        return {'name': name, 'floor_ms': total, 'floor_vision_ms': vision}

    entries = [entry('dense recorded', 12.0, 5.0), entry('learned 70 %', 5.0, 2.0)]
    assert bound(entries) == {'at_most': 2.4, 'whole_towers': 1.5}
    assert bound(entries[:1]) is None


def test_an_unknown_shape_is_refused_before_anything_is_checked(tmp_path):
    with pytest.raises(ValueError, match='shape: expected one of .* got .pi1'):
        run_gpu(tmp_path, 'cpu', minutes=1, long_run=1, shapes=['pi1'])


def test_a_check_that_differs_or_is_no_number_fails():
    assert not Check('far', 2e-5, 1e-5).ok and not Check('nan', float('nan'), 1e-5).ok
    found = summary([Check('good', 0.0, 1e-5), Check('far', 1.0, 1e-5)])
    assert (found['passed'], found['of'], found['failed']) == (1, 2, ['far'])


def test_the_checks_notice_a_recorded_step_that_forgets_to_hide_a_slot(monkeypatch):
    vla = random_vla(small('openvla-oft-7b'), dtype=torch.float32)
    recompute = Batch._recompute

    def forgetful(batch, rows):
        batch.plan.device['unseen'].zero_()
        recompute(batch, rows)

    from vla_cache_ros.caching.recording.graphs import Direct

    monkeypatch.setattr(Batch, '_recompute', forgetful)
    assert not all(check.ok for check in check_model('x', vla, Direct()))


def test_a_variant_that_fails_is_named_and_the_others_go_on(monkeypatch):
    config = small('openvla-oft-7b')
    make, rows = gpu_bench._make, list_rows(config, ())[:4]

    def fail(row, vla, recorder):
        if row.name == 'dense eager':
            raise RuntimeError('out of\nmemory')
        return make(row, vla, recorder)

    monkeypatch.setattr(gpu_bench, '_make', fail)
    episodes = [episode[:2] for episode in read_frames()[:2]]
    found = gpu_bench.bench_shape('toy', config, rows, episodes, 'cpu', lambda: None, lambda: 1e6)
    assert found['failed'] == {'dense eager': 'RuntimeError: out of memory'}
    assert len(found['entries']) == len(rows) - 1


def test_what_comes_too_late_is_skipped_and_said():
    config = small('openvla-7b')
    episodes = [episode[:2] for episode in read_frames()[:2]]
    clock = iter([1e6, 1e6, *[0.0] * 100])
    found = gpu_bench.bench_shape(
        'toy',
        config,
        list_rows(config, ())[:3],
        episodes,
        'cpu',
        lambda: None,
        lambda: next(clock),
    )
    assert found['failed'] == {'dense recorded, greedy': 'skipped: no time left'}


def test_frames_come_back_as_they_were_written(tmp_path):
    episodes = [episode[:2] for episode in read_frames()[:2]]
    write_frames(tmp_path / 'frames.npz', episodes)
    again = read_frames(tmp_path / 'frames.npz')
    for one, other in zip(episodes, again, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.instruction == b.instruction
            np.testing.assert_array_equal(a.proprio, b.proprio)
            np.testing.assert_array_equal(np.stack(a.images), np.stack(b.images))


def test_it_needs_neither_a_simulator_nor_what_draws_and_prints():
    gone = ('mujoco', 'matplotlib', 'scipy', 'tabulate', 'tyro', 'rosbags')
    code = f'import sys; sys.modules.update(dict.fromkeys({gone})); import run_gpu'
    here = str(Path(__file__).parent)
    subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.insert(0, {here!r}); {code}'], check=True
    )


def test_small_shapes_keep_the_kind_of_their_model():
    for name, config in SHAPES.items():
        assert small(name).family == config.family
        assert len(small(name).towers) == len(config.towers)
