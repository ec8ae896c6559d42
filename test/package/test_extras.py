# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A robot runs the policy without any extra, and a command that needs one names it."""

import os
import re
import subprocess
import sys

from paths import ROOT
import pytest

# Python in which the modules of all extras are as if they were not installed.
WITHOUT = """
import importlib.machinery, sys
from vla_cache_ros.extras import EXTRAS

class Rest(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        gone = {module for modules in EXTRAS.values() for module in modules}
        return None if name.partition('.')[0] in gone else super().find_spec(name, *rest)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Rest
"""
ACT = """
import numpy as np
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
import vla_cache_ros.ros.vla_node

policy = Policy.from_pretrained('tabletop', gate='learned')
image = np.full((224, 224, 3), 90, np.uint8)
state = np.zeros(policy.proprio_size, np.float32)
for step in range(2):
    chunk, report = policy.act(Observation((image,) * policy.num_images, 'pick it up', state))
print(chunk.actions.shape, np.isfinite(chunk.actions).all(), report.reuse > 0)
"""


def run_without_extras(code):
    """Return the code, the output and the errors of Python that runs code."""
    command = [sys.executable, '-c', WITHOUT + code]
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    environment = {**os.environ, 'PYTHONPATH': path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_policy_acts_and_the_node_imports_without_any_extra():
    assert run_without_extras(ACT) == (0, '(8, 7) True True\n', '')


@pytest.mark.parametrize(
    ('module', 'arguments', 'extra'),
    [
        ('vla_cache_ros.cli.main', ['evaluate', '--episodes', '1'], 'sim|eval'),
        ('vla_cache_ros.cli.main', ['evaluate', '--bag', '.'], 'bags'),
        ('vla_cache_ros.cli.main', ['demo'], 'sim|bags|eval'),
        ('vla_cache_ros.cli.main', ['record', '--out', 'bag', '--view'], 'view'),
        ('vla_cache_ros.ros.drivers.sim_robot_node', [], 'sim'),
        ('vla_cache_ros.ros.drivers.gz_arm_node', [], 'sim'),
        ('vla_cache_ros.ros.recorder', [], 'bags'),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(module, arguments, extra):
    code = f'sys.argv[1:] = {arguments}\nfrom {module} import main\nsys.exit(main())'
    status, _, errors = run_without_extras(code)
    assert status == 2 and errors.count('\n') == 1, errors
    assert re.search(rf"No module named '\w+': pip install 'vla_cache_ros\[({extra})\]'", errors)
