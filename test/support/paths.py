# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where tests find what they read."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / 'test' / 'data'
