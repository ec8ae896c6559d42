# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Action experts that denoise a chunk while they read the decoder's keys and values."""
