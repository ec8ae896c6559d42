# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How actions become motion: played by the clock, bounded, integrated."""
