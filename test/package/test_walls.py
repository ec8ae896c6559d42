# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data walks forward through the rooms: what each of them may import."""

import ast
from pathlib import Path

from paths import ROOT
import pytest

PACKAGE = ROOT / 'vla_cache_ros'
ROS = {'rclpy', 'launch', 'launch_ros', 'cv_bridge', 'rosbag2_py'}
MESSAGES = {'std_msgs', 'sensor_msgs', 'geometry_msgs', 'builtin_interfaces'}
TENSORS = {'torch', 'transformers', 'safetensors'}
ABOVE = {'mujoco', 'policy', 'evaluation', 'training', 'simulation'}  # of model and recordings
FORBIDDEN = {
    'vla': ROS | ABOVE | {'caching', 'ros', 'bags'},
    'caching': ROS | ABOVE | {'ros', 'bags'},
    'simulation': (ROS | TENSORS | ABOVE | {'caching', 'vla', 'ros', 'bags'})
    - {'mujoco', 'simulation'},
    'bags': ROS | MESSAGES | TENSORS | ABOVE | {'caching', 'vla'},
    'benchmarks': ROS | TENSORS | {'ros', 'bags', 'training'},
    'training': ROS | {'ros'},
    'evaluation': ROS,
    'ros': {'transformers', 'safetensors', 'training', 'timm', 'torchvision', 'bags'},
}
UNSAFE = {'pickle.load', 'pickle.loads', 'pickle.Unpickler', 'eval', 'exec'}
NOWHERE = {'timm', 'torchvision', 'tensorflow'}
EXTRAS = {'mani_skill', 'sapien', 'gymnasium'}  # imported by name, when an environment is made


def imports(path: Path) -> set[str]:
    """Return the top-level packages and the rooms of this package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level > 1:
                base = f'vla_cache_ros.{base}'
            elif node.level == 1:
                continue  # within the room
            names = [f'{base}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split('.')
            found.add(parts[1] if parts[0] == 'vla_cache_ros' and len(parts) > 1 else parts[0])
    return found


@pytest.mark.parametrize('room', FORBIDDEN)
def test_room_imports_nothing_from_behind_its_wall(room):
    files = sorted((PACKAGE / room).rglob('*.py'))
    assert files
    found = {str(path.relative_to(PACKAGE)): imports(path) & FORBIDDEN[room] for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_forbidden_libraries_are_imported_nowhere():
    found = {path.name: imports(path) & NOWHERE for path in PACKAGE.rglob('*.py')}
    assert {name: names for name, names in found.items() if names} == {}


def test_what_an_extra_brings_is_imported_by_no_module_itself():
    found = {path.name: imports(path) & EXTRAS for path in PACKAGE.rglob('*.py')}
    assert {name: names for name, names in found.items() if names} == {}


def test_no_remote_code_and_no_unsafe_load():
    for path in PACKAGE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.Call):
                continue
            keywords = {k.arg: getattr(k.value, 'value', None) for k in node.keywords}
            assert keywords.get('trust_remote_code') is not True, path
            assert ast.unparse(node.func) not in UNSAFE, f'{path}:{node.lineno}'
            if ast.unparse(node.func) == 'torch.load':
                assert keywords.get('weights_only') is True, f'{path}:{node.lineno}'


def test_files_stay_short():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding='utf-8').splitlines())
        for path in PACKAGE.rglob('*.py')
    }
    assert {name: length for name, length in lengths.items() if length > 350} == {}
