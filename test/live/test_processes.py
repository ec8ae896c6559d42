# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A demo leaves no process behind and says why one died."""

import os
import time

import pytest
from vla_cache_ros.live.processes import ProcessDied
from vla_cache_ros.live.processes import Processes


def wait_for(condition, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Write a module for a child process to run; returns what starts it by code."""

    def write(code):
        (tmp_path / 'stub_node.py').write_text(code, encoding='utf-8')
        return Processes(tmp_path / 'log', {'PYTHONPATH': str(tmp_path)})

    return write


def test_death_of_a_process_shows_the_end_of_its_log(stub):
    with stub('print("camera unplugged"); raise SystemExit(3)') as processes:
        processes.start('robot', 'stub_node', [])
        with pytest.raises(
            ProcessDied, match='robot ended with exit code 3.*\n.*camera unplugged'
        ):
            wait_for(processes.check)


@pytest.mark.parametrize('deaf', [False, True], ids=['obeys SIGINT', 'ignores SIGINT'])
def test_leaving_ends_every_process(stub, monkeypatch, deaf):
    monkeypatch.setattr('vla_cache_ros.live.processes._PATIENCE', 0.5)
    ignore = 'signal.signal(signal.SIGINT, signal.SIG_IGN);' if deaf else ''
    code = f'import os, signal, time; {ignore} print(os.getpid(), flush=True); time.sleep(60)'
    with stub(code) as processes:
        processes.start('robot', 'stub_node', [])
        wait_for(lambda: processes.log('robot').read_text().endswith('\n'))
        pid = int(processes.log('robot').read_text())
        assert alive(pid)
    assert not alive(pid)


def test_environment_reaches_the_process(stub):
    with stub('import os, time; print(os.environ["ROS_DOMAIN_ID"], flush=True)') as processes:
        processes._environment['ROS_DOMAIN_ID'] = '77'
        processes.start('robot', 'stub_node', [])
        wait_for(lambda: processes.log('robot').read_text())
        assert processes.log('robot').read_text() == '77\n'
