# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the folders that LeRobot writes: configuration, processors, weights."""
