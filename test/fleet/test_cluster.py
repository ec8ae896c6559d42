# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tasks on a Ray cluster of two nodes: each has one outcome, whatever becomes of its process."""

import os
import re
import threading

from fleet_jobs import counting
import pytest
from small_cluster import power_off
from small_cluster import small_cluster
from vla_cache_ros.fleet.joining import ANY
from vla_cache_ros.fleet.joining import joined

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def nodes():
    """Yield a cluster of two nodes."""
    with small_cluster() as cluster:
        yield cluster


@pytest.fixture
def runner(nodes):
    """Yield what runs tasks on it."""
    with joined(nodes.address) as runner:
        yield runner


def test_every_task_has_its_outcome_and_a_process_begins_once(runner):
    outcomes = list(runner.run(counting(), [('sleep', 0.1 + 0.001 * i) for i in range(20)]))
    assert sorted(outcome.index for outcome in outcomes) == list(range(20))
    assert not any(outcome.error for outcome in outcomes)
    for outcome in outcomes:
        assert outcome.result[0] == pytest.approx(0.1 + 0.001 * outcome.index)
    last = {}
    for _, pid, done in (outcome.result for outcome in outcomes):
        last[pid] = max(done, last.get(pid, 0))
    assert sum(last.values()) == 20 and len(last) >= 2  # nothing twice, on both nodes
    assert runner.processes == 2 and runner.status == '2 nodes'


def test_what_raises_is_told_as_here_and_a_missing_file_with_its_node(runner):
    tasks = [('raise', 'this'), ('missing', '/no/such/bag'), ('sleep', 0)]
    raised, missing, fine = sorted(runner.run(counting(), tasks), key=lambda o: o.index)
    assert raised.error == 'cannot do this'
    assert "No such file or directory: '/no/such/bag' (on node " in missing.error
    assert '\n' not in missing.error and fine.result[0] == 0


def test_a_task_that_kills_its_process_is_given_up_and_the_others_go_on(runner, tmp_path):
    tasks = [('die', 0), *[('sleep', 0.05)] * 6, ('die once', str(tmp_path / 'died'))]
    died, *others = sorted(runner.run(counting(), tasks), key=lambda o: o.index)
    assert died.error.startswith('its process died 3 times, last on node ')
    assert not any(other.error for other in others)
    assert runner.status == '2 nodes, 3 run again'


def test_pieces_come_in_order_and_those_of_a_lost_try_are_told_apart(runner, tmp_path):
    found = {}

    def piece(index, tries, value):
        found.setdefault((index, tries), []).append(value[0])

    tasks = [('pieces', 30), ('die once', str(tmp_path / 'died'))]
    outcomes = sorted(runner.run(counting(), tasks, piece), key=lambda o: o.index)
    assert [outcome.result[0] for outcome in outcomes] == [30, str(tmp_path / 'died')]
    assert found[0, 1] == list(range(30))
    assert (1, 2) not in found  # its second try yields its result alone


def test_tasks_are_taken_as_there_is_room(runner):
    taken = []

    def tasks():
        for index in range(30):
            taken.append(index)
            yield 'sleep', 0.1

    for count, _ in enumerate(runner.run(counting(), tasks()), 1):
        assert len(taken) <= count + 4
    assert len(taken) == 30


def test_a_node_with_another_version_is_refused_by_name(runner, tmp_path):
    (tmp_path / 'driver').write_text(str(os.getpid()))
    job = counting(driver=str(tmp_path / 'driver'))
    with pytest.raises(ValueError) as error:
        list(runner.run(job, [('sleep', 0)]))
    text = str(error.value)
    assert text.startswith('node ') and '\n' not in text
    assert text.endswith('expected torch 1.0 as where the command was started, got 2.0')


def test_a_node_that_cannot_begin_is_refused_by_name(runner):
    with pytest.raises(ValueError, match=r'node .* \(\w{8}\): no such model'):
        list(runner.run(counting(broken=True), [('sleep', 0)]))


def test_a_bound_on_tasks_at_a_time_is_kept(nodes):
    with joined(nodes.address, most=1) as runner:
        outcomes = list(runner.run(counting(), [('sleep', 0.05)] * 4))
        assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3]
        assert runner.processes == 1


def test_without_an_address_it_says_which_cluster_it_joined(nodes, monkeypatch, capsys):
    monkeypatch.setenv('RAY_ADDRESS', nodes.address)
    with joined(ANY) as runner:
        assert runner.describe() == '2 nodes, 2 CPUs'
    assert f'Ray: joined {nodes.address}: 2 nodes, 2 CPUs' in capsys.readouterr().err
    assert os.environ['RAY_ADDRESS'] == nodes.address


def test_a_node_that_is_killed_costs_only_its_tasks_time(nodes):
    extra = nodes.add_node(num_cpus=1)
    kill = threading.Thread(target=power_off, args=(nodes, extra))
    given = []

    def tasks():
        """Go on until a node is killed, and a little longer."""
        after = 0
        while after < 20:
            after += kill.ident is not None
            given.append(after)
            yield 'sleep', 0.4

    with joined(nodes.address) as runner:
        outcomes, begun = [], set()
        for outcome in runner.run(counting(), tasks()):
            outcomes.append(outcome)
            begun.add(outcome.result[1])
            if len(begun) == 3 and kill.ident is None:
                kill.start()
        kill.join()
        assert sorted(outcome.index for outcome in outcomes) == list(range(len(given)))
        assert not any(outcome.error for outcome in outcomes)
        assert re.fullmatch('[23] nodes, [12] run again', runner.status)
