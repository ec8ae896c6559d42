# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the robot senses: its messages, checked, kept and turned into observations."""
