# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates along rosbag2 recordings: what caching would have changed."""
