# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded robot: a MuJoCo table-top arm, its scene and its tasks."""
