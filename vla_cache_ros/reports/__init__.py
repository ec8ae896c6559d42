# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every room that measures writes with: files, hardware, statistics, tables, pages, video."""
