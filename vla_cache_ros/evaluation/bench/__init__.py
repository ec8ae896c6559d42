# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times, by turns, with what a step has to do and what the machine can."""
