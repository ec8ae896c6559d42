# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes that stand in for an arm driver: simulated, and in Gazebo."""
