# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The order in which the worker does what it is given."""

import threading
import time

import pytest
from vla_cache_ros.ros.worker import Worker


@pytest.fixture
def busy():
    """Yield a worker that is busy, what ends that, and what was done since."""
    worker, begun, go, done = Worker('test'), threading.Event(), threading.Event(), []
    worker.order(lambda: (begun.set(), go.wait(10)))
    assert begun.wait(10)
    yield worker, go, done
    go.set()
    assert worker.close(10)


def test_idle_work_is_done_after_orders(busy):
    worker, go, done = busy
    ended = threading.Event()
    worker.idle(lambda: (done.append('idle'), ended.set()))
    worker.order(lambda: done.append('order'))
    go.set()
    assert ended.wait(10)
    assert done == ['order', 'idle']


@pytest.mark.parametrize('idle_first', [True, False])
def test_observation_is_done_instead_of_idle_work(busy, idle_first):
    worker, go, done = busy
    ended = threading.Event()
    gifts = [
        lambda: worker.idle(lambda: done.append('idle')),
        lambda: worker.offer(lambda: (done.append('observation'), ended.set())),
    ]
    for give in gifts if idle_first else reversed(gifts):
        give()
    go.set()
    assert ended.wait(10)
    time.sleep(0.05)  # for what should not come
    assert done == ['observation']


def test_withdrawn_idle_work_is_not_done(busy):
    worker, go, done = busy
    worker.idle(lambda: done.append('idle'))
    worker.withdraw()
    go.set()
    time.sleep(0.05)
    assert not done
