# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras are worked on beside each other, and never waited for in vain."""

import threading
import time

import pytest
from vla_cache_ros.caching.gates import side_threads
from vla_cache_ros.caching.gates.side_threads import each_camera


def test_results_come_in_order_from_threads_that_run_at_a_time():
    meeting = threading.Barrier(3, timeout=20)

    def work(camera):
        meeting.wait()  # breaks unless all three are here at once
        return camera, threading.current_thread()

    results = each_camera(work, 3)
    assert [camera for camera, _ in results] == [0, 1, 2]
    assert len({thread for _, thread in results}) == 3
    assert results[0][1] is threading.current_thread()


def test_one_camera_needs_no_other_thread(monkeypatch):
    monkeypatch.setattr(side_threads, '_pool', None)
    assert each_camera(lambda camera: camera + 5, 1) == [5]


def test_what_no_thread_has_begun_is_done_by_the_caller():
    release = threading.Event()
    busy = [side_threads._pool().submit(release.wait, 20) for _ in range(3)]
    try:
        began = time.monotonic()
        threads = each_camera(lambda camera: threading.current_thread(), 2)
        assert time.monotonic() - began < 10
        assert threads == [threading.current_thread()] * 2
    finally:
        release.set()
    assert all(future.result() for future in busy)


def test_an_error_of_any_camera_is_raised():
    def work(camera):
        if camera == 1:
            raise RuntimeError('camera 1')

    with pytest.raises(RuntimeError, match='camera 1'):
        each_camera(work, 2)
