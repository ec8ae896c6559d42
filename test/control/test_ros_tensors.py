# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ROS room takes observations to the policy and plays actions: it computes no tensors."""

import ast

from paths import ROOT
import pytest

ROOM = ROOT / 'vla_cache_ros' / 'ros'
TENSORS = ('torch', 'transformers', 'safetensors', 'vla_cache_ros.vla', 'vla_cache_ros.caching')


def imported(path):
    """Return the dotted names that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return names


@pytest.mark.parametrize('path', sorted(ROOM.glob('*.py')), ids=lambda path: path.name)
def test_node_files_reach_for_no_tensor_library_and_no_inside_of_the_policy(path):
    reached = {
        name
        for name in imported(path)
        if f'{name}.'.startswith(tuple(f'{library}.' for library in TENSORS))
    }
    assert reached == set()
