# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The connection to a policy server: how it is made, who is let in, and how its end is noticed."""

import http.server
import os
import signal
import threading
import time
import warnings

from certificates import make_certificate
from fake_policy_server import FakePolicyServer
from fake_policy_server import server_tls
from freezing import freeze
import numpy as np
from policy_servers import FAKE
from policy_servers import free_port
import pytest
from silent_proxy import SilentProxy
from test_client import connected_again
from test_client import observation
from test_client import wait
from vla_cache_ros.serving.client.errors import RemoteError
from vla_cache_ros.serving.client.policy import RemotePolicy
from vla_cache_ros.types import Observation

TIMEOUT, HEALTHY = 0.25, 20.0  # s, for an answer that will not come, and for one that will
SLACK = 1.0  # s; a busy machine may be late


@pytest.fixture
def made():
    """Yield what makes policies, none of which outlives the test."""
    policies = []

    def make(*arguments, **options):
        policy = RemotePolicy(*arguments, **options)
        policies.append(policy)
        policy.timeout = HEALTHY
        return policy

    yield make
    for policy in policies:
        policy.close()


@pytest.fixture
def server():
    """Yield a server that listens."""
    with FakePolicyServer().listening() as server:
        yield server


def process(start, port):
    """Return a server as a process that listens."""
    server = start(FAKE, str(port), '/no/fault')
    assert server.stdout.readline() == 'ready\n'
    return server


def fails(policy, cause, within=TIMEOUT + SLACK, seen=None):
    """Act in vain; return the error once its cause is as expected."""
    policy.timeout = TIMEOUT
    begin = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        policy.act(observation() if seen is None else seen)
    assert time.monotonic() - begin < within
    policy.timeout = HEALTHY
    assert caught.value.stop_cause == cause, caught.value
    return str(caught.value)


def test_nobody_there_is_one_line_after_the_wait():
    port, begin = free_port(), time.monotonic()
    with pytest.raises(RemoteError, match=rf'^ws://127.0.0.1:{port}: .*refused') as caught:
        RemotePolicy(f'ws://127.0.0.1:{port}', wait=0.3)
    assert 0.3 <= time.monotonic() - begin < 2.0
    assert caught.value.stop_cause == 'policy_lost' and '\n' not in str(caught.value)


def test_a_server_that_comes_later_is_waited_for(made):
    port = free_port()
    later = threading.Timer(0.3, lambda: ready.set())
    ready = threading.Event()
    later.start()

    def serve():
        ready.wait()
        with FakePolicyServer().listening(port):
            done.wait()

    done = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        made(f'ws://127.0.0.1:{port}', wait=10.0).act(observation())
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ('first', 'words'),
    [
        (b'\xc1', 'expected one msgpack message'),
        (b'\x80', r"metadata: expected a map 'vla_cache'"),
        (b'\x81\xa9vla_cache\x81\xa7version\x02', 'metadata: expected version 1'),
        (b'\x81\xa9vla_cache\x82\xa5error\xa44 of\xa4kind\xa4full', '4 of'),
        ('no room:\n8 of 8', 'no room: 8 of 8'),
    ],
)
def test_what_is_no_such_server_or_has_no_room_refuses_at_once(server, first, words):
    server.first = first
    begin = time.monotonic()
    with pytest.raises(RemoteError, match=words) as caught:
        RemotePolicy(server.url, wait=20.0)
    assert time.monotonic() - begin < 5.0 and caught.value.stop_cause == 'policy_refused'


def test_a_web_server_is_no_policy_server_and_a_redirection_is_not_followed(server):
    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(307)
            self.send_header('Location', server.url)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(('127.0.0.1', 0), Elsewhere) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            with pytest.raises(RemoteError):
                RemotePolicy(f'ws://127.0.0.1:{web.server_port}', wait=0.5)
        finally:
            web.shutdown()
            thread.join()
    assert not server.headers  # nobody came


def test_proxies_of_the_environment_see_nothing(server, made, monkeypatch):
    for name in ('http_proxy', 'https_proxy', 'all_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(name, f'http://127.0.0.1:{free_port()}')
    made(server.url).act(observation())


def test_the_token_of_a_file_is_shown_and_read_anew_for_each_connection(server, made, tmp_path):
    token = tmp_path / 'token'
    token.write_text('first\n')
    policy = made(server.url, token_file=str(token))
    assert server.headers[-1]['Authorization'] == 'Bearer first'
    token.write_text('second')
    server.cut()
    connected_again(policy)
    assert server.headers[-1]['Authorization'] == 'Bearer second'
    token.write_text('two words')
    server.cut()
    assert wait(lambda: 'expected one word' in policy.figures()['policy server'])
    token.unlink()
    assert wait(lambda: 'No such file' in policy.figures()['policy server'])
    assert 'policy_token_file' in fails(policy, 'policy_refused')


def test_a_token_on_a_plain_network_is_warned_of():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        with pytest.raises(RemoteError):
            RemotePolicy('ws://127.0.0.2:9', '/no/such/file', wait=0.1)
    assert any('use wss://' in str(one.message) for one in found)


def test_tls_trusts_whom_the_file_names_and_nobody_else(made, tmp_path):
    ours = make_certificate(tmp_path / 'ours')
    theirs = make_certificate(tmp_path / 'theirs')
    with FakePolicyServer().listening(tls=server_tls(ours)) as server:
        url = f'wss://127.0.0.1:{server.port}'
        policy = made(url, ca_file=str(ours / 'cert.pem'))
        chunk, _ = policy.act(observation())
        assert np.isfinite(chunk.actions).all()
        for file in (str(theirs / 'cert.pem'), ''):
            with pytest.raises(RemoteError, match='policy_ca_file') as caught:
                RemotePolicy(url, ca_file=file, wait=20.0)
            assert caught.value.stop_cause == 'policy_refused'
        with pytest.raises(RemoteError, match='expected a certificate.*policy_ca_file'):
            RemotePolicy(f'wss://localhost:{server.port}', ca_file='', wait=20.0)
        with pytest.raises(RemoteError, match='policy_ca_file: expected certificates in PEM'):
            RemotePolicy(url, ca_file=str(ours / 'key.pem'), wait=20.0)


def test_a_killed_server_is_noticed_at_once_and_met_again(start, made):
    port = free_port()
    server = process(start, port)
    policy = made(f'ws://127.0.0.1:{port}')
    policy.act(observation())
    server.kill()
    server.wait()
    assert 'see whether the server runs' in fails(policy, 'policy_lost', SLACK)
    fails(policy, 'policy_lost', SLACK)
    process(start, port)
    connected_again(policy)
    policy.act(observation())


def test_a_frozen_server_is_noticed_in_time_and_met_again(start, made):
    port = free_port()
    server = process(start, port)
    policy = made(f'ws://127.0.0.1:{port}')
    policy.act(observation())
    freeze(server)
    fails(policy, 'policy_silent')
    fails(policy, 'policy_silent', SLACK)  # not asked again before there is a sign of life
    time.sleep(1.2)
    assert 'expected a sign of life within 1 s' in fails(policy, 'policy_silent', SLACK)
    server.send_signal(signal.SIGCONT)
    connected_again(policy)
    policy.act(observation())


def test_a_server_that_was_frozen_for_a_moment_keeps_its_session(start, made):
    port = free_port()
    server = process(start, port)
    policy = made(f'ws://127.0.0.1:{port}')
    policy.act(observation())
    freeze(server)
    fails(policy, 'policy_silent')
    server.send_signal(signal.SIGCONT)
    assert wait(lambda: policy.figures()['policy answers dropped'] == '1')
    _, report = policy.act(observation())
    assert report.step == 2 and policy.figures()['policy connections'] == '1'


@pytest.mark.parametrize('pixels', [64, 2000], ids=['small', 'more than the buffers hold'])
def test_a_half_open_socket_is_noticed_in_time_and_left(server, made, pixels):
    picture = np.zeros((pixels, pixels, 3), np.uint8)
    seen = Observation((picture, picture), 'go on', np.arange(8.0))
    with SilentProxy(server.port).listening() as proxy:
        policy = made(f'ws://127.0.0.1:{proxy.port}')
        policy.act(seen)
        proxy.forwards = False
        fails(policy, 'policy_silent', seen=seen)
        time.sleep(1.2)
        fails(policy, 'policy_silent', SLACK)
        proxy.forwards = True
        connected_again(policy)
        policy.act(seen)
        assert policy.figures()['policy connections'] == '2'


def test_closing_ends_a_request_that_waits(server, made):
    server.fault = 'silent'
    policy = made(server.url)
    errors = []

    def act():
        try:
            policy.act(observation())
        except RemoteError as error:
            errors.append(error.stop_cause)

    thread = threading.Thread(target=act)
    thread.start()
    assert wait(lambda: server.seen)
    begin = time.monotonic()
    policy.close()
    thread.join(2.0)
    assert errors == ['policy_lost'] and time.monotonic() - begin < 1.0
    assert wait(lambda: not server.open)


def test_no_thread_and_no_socket_is_left_behind(server):
    def held():
        return threading.active_count(), len(os.listdir('/proc/self/fd'))

    RemotePolicy(server.url).close()
    assert wait(lambda: not server.open)
    before = held()
    for _ in range(5):
        RemotePolicy(server.url).close()
    assert wait(lambda: held() <= before), (before, held())
