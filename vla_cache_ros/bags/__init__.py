# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings: read rosbag2 without ROS, and take the observations of a policy out of it."""
