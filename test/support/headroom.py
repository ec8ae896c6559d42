# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bound the memory that a test may take, so that what grows too far fails in the test."""

from contextlib import contextmanager
from pathlib import Path
import resource


@contextmanager
def headroom(megabytes=300):
    """Let this process take so much more address space than it has, and no more."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
