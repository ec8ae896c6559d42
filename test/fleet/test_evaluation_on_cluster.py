# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Verbs on a cluster give what they give here, and lose no more than the time of a lost node."""

import json
import re
import shutil
import threading

from bag_samples import recording
from bag_samples import write_bag
from poisoned import PoisonedTask
import pytest
from small_cluster import power_off
from small_cluster import small_cluster
from tiny_model import write_checkpoint
from untimed import untimed
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.cli.main import main
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings.evaluate import _begin
from vla_cache_ros.evaluation.recordings.evaluate import _same
from vla_cache_ros.evaluation.recordings.evaluate import _work
from vla_cache_ros.evaluation.recordings.evaluate import Model
from vla_cache_ros.evaluation.recordings.evaluate import run_bags
from vla_cache_ros.evaluation.recordings.tasks import BagTask
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.joining import joined
from vla_cache_ros.fleet.local import LocalProcesses

pytestmark = pytest.mark.slow
GATES, REUSES = ['motion'], [0.5]


@pytest.fixture(scope='module')
def nodes():
    """Yield a cluster of two nodes."""
    with small_cluster() as cluster:
        yield cluster


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return the folder of a small model."""
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'))


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return the folders of eight bags, each of another length and instruction."""
    place = tmp_path_factory.mktemp('bags')
    return [
        write_bag(place / f'{i}', recording(1 + 0.4 * (i % 3), instruction=f'put {i} there'))
        for i in range(8)
    ]


def task(path, kind=BagTask):
    return kind(path, BagTopics(), Cadence(0.4), 4)


def evaluate(tasks, checkpoint, out, runner):
    return run_bags(tasks, str(checkpoint), GATES, REUSES, out, runner=runner)


def test_a_report_equals_the_local_one_though_a_node_is_killed(bags, checkpoint, tmp_path, nodes):
    tasks = [task(path) for path in bags]
    local = evaluate(tasks, checkpoint, tmp_path / 'local', LocalProcesses(1))
    extra = nodes.add_node(num_cpus=1)
    kill = threading.Thread(target=power_off, args=(nodes, extra))

    class Watched:
        """Kill the third node once three processes have given a result."""

        processes = 3

        def __init__(self, runner):
            self.runner, self.count = runner, 0

        @property
        def status(self):
            return self.runner.status

        def run(self, job, given):
            for outcome in self.runner.run(job, given):
                self.count += 1
                if self.count == 2:
                    kill.start()
                yield outcome

    with joined(nodes.address) as runner:
        far = evaluate(tasks, checkpoint, tmp_path / 'far', Watched(runner))
    kill.join()
    assert untimed(far) == untimed(local) and far['failed'] == {} and len(far['bags']) == 8
    assert len(list((tmp_path / 'far' / 'results').iterdir())) == 8


def test_a_bag_that_kills_its_process_and_one_that_is_not_there_are_told_once(
    bags, checkpoint, tmp_path, nodes, capsys
):
    away = tmp_path / 'away'
    tasks = [task(bags[0]), task(bags[1], PoisonedTask), task(away), task(bags[2])]
    with joined(nodes.address) as runner:
        figures = evaluate(tasks, checkpoint, tmp_path / 'out', runner)
    assert [bag['path'] for bag in figures['bags']] == [str(bags[0]), str(bags[2])]
    assert list(figures['failed']) == [str(bags[1]), str(away)]
    told = [line for line in capsys.readouterr().err.splitlines() if 'not evaluated' in line]
    assert len(told) == 2 and 'its process died 3 times, last on node' in told[0]
    assert f'{away}: not evaluated: ' in told[1] and '(on node ' in told[1]
    rest = LocalProcesses(1)  # what was given is not given again, wherever the others run
    tasks[1] = task(bags[1])
    again = evaluate([tasks[0], tasks[1], tasks[3]], checkpoint, tmp_path / 'out', rest)
    assert '2 of 3 bags were evaluated before' in capsys.readouterr().out
    assert len(again['bags']) == 3 and again['failed'] == {}


def test_a_checkpoint_that_is_another_on_a_node_is_refused_by_name(
    bags, checkpoint, tmp_path, nodes
):
    folder = shutil.copytree(checkpoint, tmp_path / 'copy')
    job = Job(Model(str(folder), (Entry('dense', 'dense'),)), _begin, _work, _same)

    def tasks():
        with (folder / 'config.json').open('a') as file:  # after it was looked at here
            file.write(' ')
        yield task(bags[0])

    with joined(nodes.address) as runner, pytest.raises(ValueError) as error:
        list(runner.run(job, tasks()))
    assert re.fullmatch(
        r'node \S+ \(\w{8}\): expected checkpoint fingerprint \w{16} as where the command was '
        r'started, got \w{16}',
        str(error.value),
    )


def test_the_verbs_take_the_option(bags, checkpoint, tmp_path, nodes, capsys):
    arguments = ['--checkpoint', str(checkpoint), '--ray', nodes.address, '--gate', 'motion']
    given = [word for bag in bags[:2] for word in ('--bag', str(bag))]
    out = tmp_path / 'out'
    assert main(['evaluate', *arguments, *given, '--out', str(out)]) == 0
    printed = capsys.readouterr()
    assert f'Ray: joined {nodes.address}: 2 nodes, 2 CPUs' in printed.err
    assert 'in 2 of 2 bags' in printed.out and '(raylet)' not in printed.out
    assert json.loads((out / 'report.json').read_text())['hardware']['torch_threads'] == 1
