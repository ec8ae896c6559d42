# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The episode cache, its slots, the engine that recomputes them and the gates that choose."""
