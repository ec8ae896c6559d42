# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model server for the benchmarks of vla-eval, which `server` alone needs installed."""
