# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Share tasks among processes of this machine, or of several on a Ray cluster."""
