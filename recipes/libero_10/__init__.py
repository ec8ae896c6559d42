# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How `libero-10` was made; run.sh has the commands."""
