# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the files of strangers: weights, JSON, pickles; nothing of them is run."""
