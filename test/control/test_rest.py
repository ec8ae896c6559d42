# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is done while nothing is due: when it is its turn, and what it leaves alone."""

import gc
import threading
import weakref

from fake_policy import FakePolicy
import pytest
from vla_cache_ros.control.inference import dummy_observation
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import QuietMemory
from vla_cache_ros.control.worker import Rest
from vla_cache_ros.control.worker import Worker


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def worker():
    made = Worker('test')
    yield made
    assert made.close(10)


@pytest.fixture
def threshold():
    """Have the collector come as often as Python has it, whatever ran before."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield gc.get_threshold()
    gc.set_threshold(*before)


def test_frozen_memory_is_as_before_at_the_end(threshold):
    memory = QuietMemory()
    frozen = gc.get_freeze_count()
    memory.begin()
    try:
        assert gc.get_freeze_count() > frozen + 1000
        assert gc.get_threshold()[0] > threshold[0]
        memory.begin()  # a second configure
    finally:
        memory.end()
    assert gc.get_freeze_count() == 0 and gc.get_threshold() == threshold
    memory.end()
    assert gc.get_threshold() == threshold


def test_garbage_of_a_step_is_collected_at_rest():
    memory = QuietMemory()
    memory.begin()
    try:
        knot = weakref.ref(Knot())
        assert knot() is not None
        assert Rest(lambda: None, 0.0, print)() is None
        assert knot() is None
    finally:
        memory.end()


def test_the_worker_rests_after_its_work_and_only_once(worker):
    done, rested = [], threading.Event()
    worker.rest(lambda: (done.append('rest'), rested.set()) and None)
    for name in 'ab':
        worker.order(lambda name=name: done.append(name))
    assert rested.wait(10)
    assert done == ['a', 'b', 'rest']
    rested.clear()
    assert not rested.wait(0.1)
    worker.order(lambda: done.append('c'))
    assert rested.wait(10)
    assert done == ['a', 'b', 'rest', 'c', 'rest']


def test_a_rest_that_asks_for_it_comes_again(worker):
    times, enough = [], threading.Event()

    def rest():
        times.append(0)
        if len(times) == 3:
            enough.set()
        return 0.001 if len(times) < 3 else None

    worker.rest(rest)
    worker.order(int)
    assert enough.wait(10)


def test_dummy_steps_leave_the_episode_alone():
    policy = FakePolicy()
    observation = dummy_observation(policy)
    assert len(observation.images) == policy.num_images
    rest = Rest(lambda: policy.shadow(observation, 0), 0.5, print)
    assert rest() == rest() == 0.5
    assert len(policy.shadows) == 2
    assert not policy.observations and not policy.resets


def test_a_dummy_step_that_fails_is_the_last_one():
    policy, warnings = FakePolicy(), []
    policy.shadow_error = RuntimeError('out of memory')
    rest = Rest(lambda: policy.shadow(None, 0), 0.5, warnings.append)
    assert rest() is None and rest() is None
    assert len(policy.shadows) == 1
    assert warnings == ['keep_warm: no more dummy steps: RuntimeError: out of memory']


def test_dummy_steps_on_a_cpu_are_refused():
    message = 'keep_warm: expected 0 with device cpu, got 0.5'
    assert VLAParameters(keep_warm=0.5).contradiction() == message
    assert not VLAParameters(keep_warm=0.5, device='cuda').contradiction()
