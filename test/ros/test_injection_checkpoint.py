# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Files that change while or after they are loaded, and memory that does not suffice for them."""

import errno
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

import numpy as np
from paths import ROOT
import pytest
import torch
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.live.isolation import isolated_domain
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.memory import enough_memory
from vla_cache_ros.vla.files.place import PACKAGED

SUPPORT = ROOT / 'test' / 'support'


@pytest.fixture
def folder(tmp_path):
    """Return a copy of the shipped checkpoint with its gate."""
    return shutil.copytree(PACKAGED / 'tabletop', tmp_path / 'tabletop')


@pytest.fixture
def midway(monkeypatch):
    """Return what has something done when the third tensor of a load has been read."""

    def arrange(action):
        collect = weights.collect

        def disturbed(expected, tensors, *others):
            def read():
                for index, pair in enumerate(tensors):
                    yield pair
                    if index == 2:
                        monkeypatch.setattr(weights, 'collect', collect)
                        action()

            return collect(expected, read(), *others)

        monkeypatch.setattr(weights, 'collect', disturbed)

    return arrange


def overwrite(path):
    """Write other numbers into the file, in place."""
    with path.open('r+b') as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))


def replace(path):
    """Put another file in its place, as a careful program does."""
    shutil.copy(path, path.with_suffix('.new'))
    overwrite(path.with_suffix('.new'))
    path.with_suffix('.new').replace(path)


def cut(path):
    """Cut the file short, as a program that begins to write it anew does."""
    os.truncate(path, 2000)


@pytest.mark.parametrize('change', [overwrite, replace, cut])
@pytest.mark.parametrize('name', ['model.safetensors', 'heads.safetensors'])
def test_checkpoint_that_changes_while_it_is_read_is_refused_by_name(folder, midway, change, name):
    midway(lambda: change(folder / name))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    message = str(caught.value)
    assert name in message and '\n' not in message
    assert 'found them changed' in message or 'found a damaged one' in message


@pytest.mark.parametrize('change', [overwrite, replace, cut])
def test_gate_that_changes_while_it_is_read_is_refused_by_name(folder, midway, change):
    content = json.loads((folder / 'gate' / 'gate.json').read_text())
    midway(lambda: change(folder / 'gate' / 'gate.safetensors'))
    with pytest.raises(CheckpointError, match='gate.safetensors.*(changed|damaged)'):
        load_gate_folder(folder / 'gate', fingerprint=content['model_fingerprint'], cameras=2)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_file_that_is_overwritten_or_cut_later_does_not_reach_a_loaded_policy(folder, dtype):
    policy = Policy.from_pretrained(folder, gate='learned', dtype=dtype)
    image = np.full((224, 224, 3), 120, np.uint8)
    seen = Observation((image, image), 'go', np.zeros(policy.proprio_size, np.float32))
    before = policy.act(seen)[0].actions
    for path in (*folder.glob('*.safetensors'), folder / 'gate' / 'gate.safetensors'):
        with path.open('r+b') as file:
            file.write(bytes(path.stat().st_size))
    policy.reset()
    np.testing.assert_array_equal(policy.act(seen)[0].actions, before)
    # what is not mapped cannot end the process (SIGBUS) once the file is cut short
    assert str(folder) not in Path('/proc/self/maps').read_text()


@pytest.mark.parametrize('error', [MemoryError('bad_alloc'), OSError(errno.ENOMEM, 'no memory')])
def test_what_is_to_be_held_is_said_where_memory_lacks_even_to_list_the_folder(
    folder, monkeypatch, error
):
    def scandir(path):
        raise OSError(errno.ENOMEM, 'Cannot allocate memory', path)

    expected = 'expected free memory for weights of 0.01 GB, to be held as float32'
    with pytest.raises(CheckpointError, match=expected), enough_memory(folder, torch.float32):
        monkeypatch.setattr(os, 'scandir', scandir)
        raise error


def test_node_without_memory_for_the_model_says_how_much_it_takes_and_can_be_configured_again():
    code = """
import resource
import rclpy
from rclpy.parameter import Parameter
from vla_cache_ros.policy import Policy  # its libraries, before the memory is short
from vla_cache_ros.ros.vla_node import VLANode
rclpy.init()
values = {'model_path': 'tabletop', 'image_topics': ['image_raw', 'wrist/image_raw']}
node = VLANode(parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
with open('/proc/self/statm') as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (size + 20_000_000, limits[1]))
results = [node.trigger_configure().name]
resource.setrlimit(resource.RLIMIT_AS, limits)
results.append(node.trigger_configure().name)
print(*results)
node.close()
node.destroy_node()
rclpy.shutdown()
"""
    with isolated_domain() as domain:
        ended = _python(code, domain)
    assert ended.stdout == 'FAILURE SUCCESS\n', (ended.returncode, ended.stderr)
    line = (
        'on_configure failed: .*tabletop: expected free memory for weights of 0.01 GB, to be held'
    )
    assert re.search(line, ended.stderr), ended.stderr


def _python(code, environment):
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
