# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One episode seen closely: what was recomputed at each step, and why."""
