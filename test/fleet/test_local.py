# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a fleet without one: local runs, addresses, differences, the option."""

import socket
import threading
import time

from fleet_jobs import counting
import pytest
from vla_cache_ros.cli.fleet import cluster
from vla_cache_ros.cli.main import main
from vla_cache_ros.fleet.cluster import _unlike
from vla_cache_ros.fleet.joining import joined
from vla_cache_ros.fleet.local import LocalProcesses
from vla_cache_ros.fleet.worker import differences


def test_one_process_does_all_tasks_and_tells_which_failed():
    tasks = [('sleep', 0), ('raise', 'this'), ('sleep', 0.01)]
    outcomes = sorted(LocalProcesses(1).run(counting(), tasks), key=lambda o: o.index)
    assert [outcome.error for outcome in outcomes] == ['', 'cannot do this', '']
    assert [o.result[2] for o in outcomes if not o.error] == [1, 2]  # it began once


def test_what_cannot_begin_is_told_for_each_task():
    outcomes = list(LocalProcesses(1).run(counting(broken=True), [('sleep', 0)] * 2))
    assert [outcome.error for outcome in outcomes] == ['no such model'] * 2


def test_differences_name_what_differs_and_both_values():
    wanted = {'torch': '2.6', 'Python': '3.11.7'}
    assert differences(wanted, dict(wanted)) == ''
    assert differences(wanted, {'torch': '2.7', 'Python': '3.11.7'}) == (
        'expected torch 2.6 as where the command was started, got 2.7'
    )
    assert 'Python 3.11.7 as where the command was started, got None' in differences(wanted, {})


class Unimportable(Exception):
    """Look like what Ray tells of a worker without this package."""

    ip = '10.0.0.2'

    def __str__(self):
        return (
            'ray::work() (pid=7, ip=10.0.0.2)\nRuntimeError: The remote function failed to import '
            "on the worker.\n\nTraceback ...\nModuleNotFoundError: No module named 'vla_cache_ros'"
        )


def test_a_node_without_this_package_is_refused_by_name():
    with pytest.raises(ValueError) as error:
        _unlike(Unimportable())
    assert str(error.value) == (
        'node 10.0.0.2: expected vla_cache_ros as where the command was started, got '
        "ModuleNotFoundError: No module named 'vla_cache_ros'; install it in the environment "
        'that runs `ray start` there'
    )


@pytest.mark.parametrize('address', ['cluster', 'ray://here:10001', 'here:port', ':6379', 'a:0'])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match='ray: expected HOST:PORT of a Ray cluster'):
        with joined(address):
            pytest.fail('joined')


def test_an_address_where_nothing_listens_is_one_line_within_seconds(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{taken.getsockname()[1]}'
        began = time.monotonic()
        options = ['--bag', str(tmp_path), '--out', str(tmp_path / 'out'), '--ray', address]
        assert main(['evaluate', *options]) == 2
    took = time.monotonic() - began
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'vla-cache: ray: expected a cluster at {address}, got ')
    assert 'docs/fleet.md' in line and took < 30  # most of it are imports
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('answer', [b'HTTP/1.1 400 Bad Request\r\n\r\n', b'', None])
def test_an_address_of_something_else_is_refused_within_seconds(answer):
    with socket.create_server(('127.0.0.1', 0)) as server:

        def serve():
            link, _ = server.accept()
            with link:
                if answer is None:  # which never answers
                    time.sleep(6)
                else:
                    link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        began = time.monotonic()
        address = f'127.0.0.1:{server.getsockname()[1]}'
        with pytest.raises(ConnectionError, match=f'ray: expected a cluster at {address}, got '):
            with joined(address):
                pytest.fail('joined')
        assert time.monotonic() - began < 5
        thread.join()


def test_a_gpu_by_number_is_refused_since_ray_picks_them():
    with pytest.raises(ValueError, match='expected cpu or cuda with --ray.*got cuda:1'):
        cluster('auto', 'cuda:1')
    with cluster(None, 'cuda:1') as runner:
        assert runner is None


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['evaluate', '--ray'], '--ray needs --bag or --dataset'),
        (['train', 'gate', '--out', 'x', '--data', 'y', '--ray', 'h:1'], '--ray needs --bag'),
    ],
)
def test_the_option_is_refused_where_there_is_nothing_to_share(arguments, expected, capsys):
    assert main(arguments) == 2
    assert expected in capsys.readouterr().err
