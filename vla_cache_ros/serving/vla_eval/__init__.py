# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model server for the benchmarks of vla-eval; `server` needs that package, the rest does not."""
