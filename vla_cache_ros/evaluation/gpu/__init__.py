# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check and time the recorded step on a GPU; needs torch and transformers, no robot, no ROS."""
