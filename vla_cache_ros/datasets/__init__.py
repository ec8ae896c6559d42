# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset v3.0, without lerobot: observations out of it, and recordings into it."""
