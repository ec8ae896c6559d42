# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How many threads a step gets follows from what others use of the cores."""

import os
import subprocess
import sys
import time

import pytest
import torch
from vla_cache_ros.threads import HOLD
from vla_cache_ros.threads import Load
from vla_cache_ros.threads import read_load
from vla_cache_ros.threads import Threads


class Machine:
    """A machine with its own clock: the process uses `own` cores, others use `others`."""

    def __init__(self, cores=2):
        self.cores, self.wall, self.busy, self.used = cores, 0.0, 0.0, 0.0

    def go(self, seconds, own=1.0, others=0.0):
        self.wall += seconds
        self.used += own * seconds
        self.busy += (own + others) * seconds

    def read(self):
        return Load(self.wall, self.busy, self.used, self.cores)


def chosen(machine, threads, given=2, **use):
    """Return what a step gets after 0.2 s of such a use."""
    machine.go(0.2, **use)
    return threads.choose(given)


def test_a_machine_to_itself_is_used_whole():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert threads.choose(2) == 2
    assert [chosen(machine, threads, own=own) for own in (1.8, 0.1, 2.0)] == [2, 2, 2]


def test_a_neighbour_takes_a_thread_before_the_next_step():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, others=1.0) == 1
    assert chosen(machine, threads, others=0.95) == 1


def test_little_work_of_others_takes_none():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert [chosen(machine, threads, others=share) for share in (0.1, 0.2, 0.3)] == [2, 2, 2]


def test_a_core_comes_back_once_it_was_free_for_a_while():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, others=1.0) == 1
    counts = [chosen(machine, threads) for _ in range(round(HOLD / 0.2))]
    assert counts == [1, 1, 1, 1, 2]


def test_a_neighbour_that_comes_and_goes_keeps_its_core():
    machine = Machine()
    threads = Threads(read=machine.read)
    counts = [chosen(machine, threads, others=step % 3 == 0) for step in range(30)]
    assert counts == [1] * 30


def test_a_long_pause_without_neighbours_is_enough():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, others=1.0) == 1
    machine.go(HOLD, own=0.0)
    assert threads.choose(2) == 2


def test_nothing_is_concluded_from_a_few_milliseconds():
    machine = Machine()
    threads = Threads(read=machine.read)
    machine.go(0.02, others=1.0)
    assert threads.choose(2) == 2
    machine.go(0.09, others=1.0)
    assert threads.choose(2) == 1


def test_what_the_machine_steals_counts_as_taken_but_one_thread_stays():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, own=0.1, others=1.9) == 1


def test_a_larger_machine_leaves_cores_to_drivers():
    machine = Machine(cores=8)
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, given=8) == 6
    assert chosen(machine, threads, given=8, others=1.2) == 6  # on the two that were left
    assert chosen(machine, threads, given=8, others=4.0) == 4
    assert chosen(machine, threads, given=2, others=4.0) == 2


def test_another_set_of_cores_starts_anew():
    machine = Machine()
    threads = Threads(read=machine.read)
    assert chosen(machine, threads, others=1.0) == 1
    machine.cores, machine.busy = 3, 1000.0
    assert chosen(machine, threads, given=3) == 3


def test_a_count_is_kept_whatever_others_do():
    machine = Machine()
    threads = Threads(2, machine.read)
    assert chosen(machine, threads, given=4, others=2.0) == 2
    with pytest.raises(ValueError, match=r'threads: expected 0 \(automatic\) or more, got -1'):
        Threads(-1)


def test_a_system_that_does_not_tell_leaves_the_number_alone():
    assert Threads(read=lambda: None).choose(3) == 3


def test_torch_has_its_number_back_after_a_step_that_failed():
    given = torch.get_num_threads()
    with pytest.raises(KeyError), Threads(given + 1).step():
        assert torch.get_num_threads() == given + 1
        raise KeyError
    assert torch.get_num_threads() == given


@pytest.mark.skipif(not os.path.exists('/proc/stat'), reason='reads /proc')
def test_the_load_counts_this_process_among_all():
    before = read_load()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    after = read_load()
    assert after.own - before.own >= 0.2
    assert after.busy - before.busy >= 0.1  # sampled by ticks
    assert after.busy - before.busy <= after.cores * (after.wall - before.wall) + 0.1
    assert after.cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ('environment', 'spins'),
    [({}, '3000'), ({'GOMP_SPINCOUNT': '7'}, '7'), ({'OMP_WAIT_POLICY': 'passive'}, None)],
)
def test_waiting_is_set_unless_the_user_has(environment, spins):
    plain = {k: v for k, v in os.environ.items() if k not in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')}
    code = 'import os, vla_cache_ros; print(os.environ.get("GOMP_SPINCOUNT"))'
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(spins)
