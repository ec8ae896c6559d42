# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The only rooms that import rclpy: two nodes, a recorder and what they are made of."""
