# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The robot side of a policy, without ROS: inputs, playback, limits, stops, the worker."""
