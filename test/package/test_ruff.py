# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the style that pyproject.toml states; mend with `make format`."""

import subprocess
import sys

from paths import ROOT
import pytest


@pytest.mark.parametrize('command', [('check',), ('format', '--check')], ids=['lint', 'format'])
def test_ruff_finds_nothing(command):
    arguments = [sys.executable, '-m', 'ruff', *command, '--no-cache', str(ROOT)]
    result = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
