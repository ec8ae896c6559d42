# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The order in which the worker does what it is given."""

from concurrent.futures import Future
import threading
import time
import weakref

import pytest
from vla_cache_ros.control.worker import Worker


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


def test_an_error_is_handed_over_without_what_was_half_built():
    class Model:
        pass

    built = []

    def load():
        model = Model()
        built.append(weakref.ref(model))
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError('expected more memory') from error

    worker = Worker('test')
    order = worker.order(load)
    with pytest.raises(ValueError, match='more memory'):
        worker.wait_for(order, threading.Event())
    assert built[0]() is None  # although `order` still holds the error
    assert worker.close(10)


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_waiting_ends_with_a_reason_where_the_thread_does(busy):
    worker, go, _ = busy

    class Lost(Future):
        def set_exception(self, exception):
            raise MemoryError

    def fail():
        raise MemoryError

    order = Lost()
    worker._orders.append((order, fail))
    go.set()
    with pytest.raises(RuntimeError, match='the thread of the policy ended'):
        worker.wait_for(order, threading.Event())


def test_waiting_ends_when_it_is_told_to(busy):
    worker, _, _ = busy
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError, match='ended by a signal'):
        worker.wait_for(worker.order(int), stop)
