# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded robot: a MuJoCo table-top arm, its tasks and its scripted expert."""

import ctypes.util
import os

if 'MUJOCO_GL' not in os.environ:  # must be decided before mujoco is imported
    os.environ['MUJOCO_GL'] = 'egl' if ctypes.util.find_library('EGL') else 'osmesa'
