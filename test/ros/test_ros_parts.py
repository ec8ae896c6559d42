# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The small parts of the ROS room, without a graph: worker, command log, parameters, domain."""

from dataclasses import fields
import os
import threading

import numpy as np
from paths import ROOT
import pytest
from vla_cache_ros.caching.gates import GATES
from vla_cache_ros.control.parameter_table import markdown
from vla_cache_ros.control.parameter_table import NODES
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import NICENESS
from vla_cache_ros.control.worker import Worker
from vla_cache_ros.live.isolation import isolated_domain
from vla_cache_ros.ros.declaration import check
from vla_cache_ros.ros.drivers.servo_inputs import CommandLog

MS = 1_000_000


def twist(value):
    return np.full(6, float(value))


def test_displacement_of_a_twist_does_not_depend_on_the_drivers_ticks():
    log = CommandLog(timeout=1000 * MS)
    log.add(5 * MS, twist(1))
    log.add(105 * MS, twist(-2))
    log.add(155 * MS, twist(0))
    moved = sum(log.mean(t * MS, (t + 20) * MS) * 0.02 for t in range(0, 200, 20))
    np.testing.assert_allclose(moved, twist(0.1 - 0.1), atol=1e-12)
    log.clear()
    assert not np.any(log.mean(200 * MS, 220 * MS))


def test_twist_that_is_not_renewed_lapses():
    log = CommandLog(timeout=100 * MS)
    log.add(0, twist(1))
    moved = sum(log.mean(t * MS, (t + 20) * MS) * 0.02 for t in range(0, 400, 20))
    np.testing.assert_allclose(moved, twist(0.1))


def test_twist_out_of_order_is_ignored():
    log = CommandLog(timeout=100 * MS)
    log.add(50 * MS, twist(1))
    log.add(40 * MS, twist(9))
    np.testing.assert_allclose(log.mean(50 * MS, 70 * MS), twist(1))


def test_worker_takes_the_newest_observation_and_orders_before_it():
    worker, done = Worker('test'), []
    busy, go, last = threading.Event(), threading.Event(), threading.Event()
    worker.offer(lambda: (busy.set(), go.wait(10), done.append('first')))
    assert busy.wait(10)
    worker.offer(lambda: done.append('replaced'))
    worker.offer(lambda: (done.append('newest'), last.set()))
    order = worker.order(lambda: done.append('order') or 'answer')
    go.set()
    assert order.result(10) == 'answer'
    assert last.wait(10)
    assert done == ['first', 'order', 'newest']
    assert worker.close(10)


def test_worker_hands_an_orders_error_back_and_lives_on():
    worker = Worker('test')
    with pytest.raises(ZeroDivisionError):
        worker.order(lambda: 1 / 0).result(10)
    assert worker.order(lambda: 3).result(10) == 3
    assert worker.close(10)


def test_the_worker_gives_way_to_the_thread_that_sends_commands():
    worker = Worker('test')
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    found = worker.order(
        lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    ).result(5)
    assert worker.close(5)
    assert found == before + NICENESS
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_worker_that_hangs_does_not_hold_up_its_end():
    worker, go = Worker('test'), threading.Event()
    worker.offer(lambda: go.wait(30))
    while worker._slot is not None:
        pass
    assert not worker.close(0.05)
    go.set()
    assert worker.close(10)


@pytest.mark.parametrize('kind', NODES.values())
def test_every_parameter_has_a_description_and_a_default_that_it_accepts(kind):
    for one in fields(kind):
        assert one.metadata['description']
        assert check(one, one.default) == ''
        assert (one.metadata['low'] is None) == (one.metadata['high'] is None)
    given = {'bag_path': 'bag'} if kind is RecorderParameters else {}
    assert kind(**given).contradiction() == ''


def test_recorder_has_to_be_told_a_folder():
    expected = 'bag_path: expected a folder to be made, got nothing'
    assert RecorderParameters().contradiction() == expected


@pytest.mark.parametrize(
    ('name', 'value', 'line'),
    [
        ('reuse', 2.0, 'reuse: expected a float from -1 to 1, got 2.0'),
        ('reuse', float('nan'), 'reuse: expected a float from -1 to 1, got nan'),
        ('execute_steps', 2.5, 'execute_steps: expected an integer from 1 to 100, got 2.5'),
        ('dry_run', 1, 'dry_run: expected true or false, got 1'),
        ('image_topics', [], 'image_topics: expected a list of strings, not empty, got []'),
        ('image_topics', 'image_raw', 'image_topics: expected a list of strings'),
        ('image_timeout', 0.0, 'expected a float from 0.01 to 60 s, got 0.0'),
        ('dtype', 'int4', 'float32, bfloat16, float16, int8, or fp8'),
    ],
)
def test_value_that_does_not_suit_is_refused_with_what_was_expected_and_what_came(
    name, value, line
):
    one = next(one for one in fields(VLAParameters) if one.name == name)
    assert line in check(one, value)
    assert repr(value) in check(one, value)


@pytest.mark.parametrize('name', GATES)
def test_the_node_takes_every_gate_by_its_name(name):
    one = next(one for one in fields(VLAParameters) if one.name == 'gate')
    assert check(one, name) == ''


def test_whole_number_is_accepted_for_a_float():
    one = next(one for one in fields(VLAParameters) if one.name == 'image_timeout')
    assert check(one, 1) == ''


def test_two_runs_get_domains_of_their_own():
    with isolated_domain() as one, isolated_domain() as other:
        assert one['ROS_DOMAIN_ID'] != other['ROS_DOMAIN_ID']
        assert one['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'


def test_reference_of_the_parameters_is_up_to_date():
    (path,) = (ROOT / 'docs').rglob('parameters.md')
    text = path.read_text(encoding='utf-8')
    assert text == markdown(), 'python -m vla_cache_ros.control.parameter_table'
    for kind in NODES.values():
        for one in fields(kind):
            assert f'| `{one.name}` |' in text
