# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Measure policies: closed loop, statistics, machine facts. Knows no ROS."""
