# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What starts processes, watches a running graph and plays the person at the terminal."""
