# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vla-cache serve` listens, ends in order, and refuses in one line what it cannot do."""

import os
import signal
import socket

import numpy as np
import pytest
from served import PROMPT
from served import request
from served import Socket
from served_process import served_process
from tiny_model import write_checkpoint
from vla_cache_ros.cli.main import main
from vla_cache_ros.cli.main import parse
from vla_cache_ros.serving.messages import read_metadata
from websockets.exceptions import ConnectionClosed

TOKEN = '0123456789abcdef'


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('tiny'))


def refusal(capsys, *options):
    """Return the line with which the command ends."""
    assert main(['serve', *map(str, options)]) == 2
    text = capsys.readouterr().err.strip()
    assert '\n' not in text
    return text


def test_options_are_those_of_server_limits_and_pictures(tmp_path):
    verb = parse(['serve', '--sessions', '3', '--max-message-rate', '5', '--center-crop', '0.9'])
    assert (verb.sessions, verb.host, verb.port, verb.gate) == (3, '127.0.0.1', 8000, 'learned')
    assert verb.limits.max_message_rate == 5 and verb.drift_threshold == 0.25
    assert verb.seen.changes() == {'center_crop': 0.9}


def test_others_are_let_in_with_a_token_alone(capsys, tmp_path):
    assert 'host: expected a token' in refusal(capsys, '--host', '0.0.0.0')
    token = tmp_path / 'token'
    token.write_text('short')
    line = refusal(capsys, '--host', '0.0.0.0', '--token-file', token)
    assert 'expected a token of at least 16' in line
    assert 'absent' in refusal(capsys, '--token-file', tmp_path / 'absent')
    assert '--tls-cert: expected --tls-key' in refusal(capsys, '--tls-cert', token)


def test_a_model_that_is_not_there_is_named(capsys, tmp_path):
    assert str(tmp_path) in refusal(capsys, '--checkpoint', tmp_path, '--execute-steps', '1')


def test_a_port_that_is_taken_is_named(capsys, checkpoint):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        options = ('--checkpoint', checkpoint, '--gate', 'dense', '--port', port)
        line = refusal(capsys, *options, '--execute-steps', '1', '--sessions', '1')
    assert 'address already in use' in line and str(port) in line


def test_it_serves_and_ends_in_order_by_a_signal(checkpoint, tmp_path):
    token, log = tmp_path / 'token', tmp_path / 'log'
    token.write_text(TOKEN)
    options = {'checkpoint': checkpoint, 'gate': 'motion', 'sessions': 2, 'token-file': token}
    known = {'additional_headers': {'Authorization': f'Bearer {TOKEN}'}}
    with served_process(log, options, ends=False) as (url, process):
        with Socket(url, **known) as client:
            model = read_metadata(client.metadata)
            assert (model.family, model.gate, model.state) == ('openvla-oft', 'motion', 8)
            first, second = (client.ask(request({'id': n}))['vla_cache'] for n in range(2))
            assert (first['report']['step'], first['report']['reuse']) == (0, 0.0)
            assert second['report']['step'] == 1 and second['report']['reuse'] > 0
            assert np.isfinite(second['normalized']).all()
            os.kill(process.pid, signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                client.take(30)
            assert closed.value.rcvd.code == 1001
        assert process.wait(30) == 0
    assert 'serving 2 sessions of' in log.read_text() and 'Traceback' not in log.read_text()
    assert PROMPT not in log.read_text()
