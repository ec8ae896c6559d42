# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Busy processes compute while the block runs, and are gone after it."""

import pytest
from vla_cache_ros.evaluation.bench.busy import busy_processes


def test_they_run_within_the_block_and_end_with_it_even_on_an_error():
    with pytest.raises(KeyError), busy_processes(2) as processes:
        assert len(processes) == 2
        assert [process.poll() for process in processes] == [None, None]
        raise KeyError
    assert all(process.returncode is not None for process in processes)


def test_none_is_none():
    with busy_processes(0) as processes:
        assert processes == []
