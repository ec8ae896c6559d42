# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scripted experts for LIBERO's suites, one module a suite."""
