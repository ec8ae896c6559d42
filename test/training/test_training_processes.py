# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several processes train one gate: each on its own samples, all with the same weights."""

import json
import os
import subprocess
import sys

from noise_recordings import write_noise
from paths import ROOT
import pytest
from tiny_model import write_checkpoint
import torch

SCRIPT = ROOT / 'test' / 'support' / 'train_small_gate.py'
TORCHRUN = ('torch.distributed.run', '--standalone', '--nproc_per_node')


def train(folder, out, *launcher):
    command = [sys.executable, *launcher, SCRIPT, folder / 'model', folder / 'shards', out]
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    weights = [torch.load(file, weights_only=True) for file in sorted(out.glob('[0-9].pt'))]
    processes = json.loads((out / 'gate' / 'gate.json').read_text())['training']['processes']
    return [torch.cat([value.flatten() for value in one.values()]) for one in weights], processes


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone')
    write_checkpoint(folder / 'model')
    write_noise(folder / 'shards')
    return folder, train(folder, folder / 'run' / 'one')


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_not_those_of_one(alone):
    folder, ((one,), count) = alone
    assert count == 1
    (first, second), count = train(folder, folder / 'run' / 'two', '-m', *TORCHRUN, '2')
    assert count == 2
    assert torch.equal(first, second)
    assert not torch.equal(first, one)


@pytest.mark.slow
def test_one_process_under_a_launcher_trains_as_one_without(alone):
    folder, ((one,), _) = alone
    launch = ('-m', 'accelerate.commands.launch', '--cpu', '--num_processes', '1')
    (again,), count = train(folder, folder / 'run' / 'launched', *launch)
    assert count == 1
    assert torch.equal(again, one)
