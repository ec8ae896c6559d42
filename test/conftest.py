# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several tests share."""

from gate_samples import write_gate
import pytest


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a small learned gate."""
    return write_gate(tmp_path / 'gate')
