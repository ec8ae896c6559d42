# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How MuJoCo renders is decided before MuJoCo is imported, also by the environment's own file."""

import os
import subprocess
import sys

CODE = (
    'import vla_cache_ros.environments.tabletop; from mujoco.gl_context import GLContext; '
    'print(GLContext.__module__)'
)


def test_environment_needs_no_display():
    environment = {k: v for k, v in os.environ.items() if k not in ('MUJOCO_GL', 'DISPLAY')}
    result = subprocess.run(
        [sys.executable, '-c', CODE], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() in ('mujoco.egl', 'mujoco.osmesa')
