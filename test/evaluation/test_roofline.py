# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A floor is the longer of arithmetic and traffic; the rates are those of this machine."""

import time

from bench_samples import MACHINE
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.roofline import best
from vla_cache_ros.evaluation.bench.roofline import Machine
from vla_cache_ros.evaluation.bench.roofline import matrices
from vla_cache_ros.evaluation.bench.roofline import measure


def test_the_longer_of_the_two_counts():
    assert MACHINE.floor_ms(Work(macs=2e6, moved=1e6)) == pytest.approx(2.0)
    assert MACHINE.floor_ms(Work(macs=1e6, moved=5e6)) == pytest.approx(5.0)
    stages = {'vision': Work(2e6, 1e6), 'decoder': Work(1e6, 5e6)}
    assert MACHINE.floors_ms(stages) == pytest.approx({'vision': 2, 'decoder': 5, 'total': 7})


def test_the_best_of_two_measurements_is_taken_rate_by_rate():
    other = Machine(macs=3e9, copied=5e8, matrix=(4, 5, 6))
    assert best(MACHINE, other) == Machine(3e9, 1e9, (4, 5, 6))


def test_the_products_are_the_models():
    found = matrices(tiny_config(), 600)
    assert (600, 32, 48) in found and (600, 48, 32) in found and (600, 16, 48) in found


def test_no_product_of_the_model_is_faster_than_the_measured_rate():
    machine = measure(tiny_config(), 600, 2**20, torch.float32, 'cpu')
    assert machine.matrix in matrices(tiny_config(), 600)
    x, weight = torch.randn(600, 32), torch.randn(32, 32)
    begin = time.perf_counter()
    for _ in range(100):
        x @ weight
    seconds = (time.perf_counter() - begin) / 100
    assert 0.3 * machine.floor_ms(Work(600 * 32 * 32)) < 1e3 * seconds
    assert machine.copied > 1e8


def test_measuring_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    measure(tiny_config(), 300, 2**16, torch.float32, 'cpu')
    assert torch.get_num_threads() == before
