# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a vision-language-action model on a robot arm with a persistent visual token cache."""

__version__ = '0.1.0'
