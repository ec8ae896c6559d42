# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The vla-cache command: parse arguments, hand over, turn a mistake into one line."""
