# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates on the same seeds, by turns, in a folder that several processes may fill."""
