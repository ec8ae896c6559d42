# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps recorded as graphs, for a GPU: what runs, and what goes up and comes down."""
