# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings to train on: one of them, written here or elsewhere."""
