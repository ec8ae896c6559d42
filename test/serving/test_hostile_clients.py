# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a client sends, or does not read, costs the others nothing, and is counted."""

import gc
import os
import socket
import threading
import time

from damage import damaged_bytes
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import msgpack
import pytest
from served import fake_serving
from served import FakeSession
from served import masked
from served import request
from served import Socket
from served import until
from served import UPGRADE
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.limits import Rate
from vla_cache_ros.serving.wire import pack
from websockets.exceptions import ConnectionClosed
from websockets.exceptions import InvalidStatus
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

QUICK = Limits(max_message_rate=1e6)


@pytest.fixture(scope='module')
def served():
    with fake_serving(QUICK, sessions=2) as found:
        yield found


def serves(served):
    """Say whether a new client is served."""
    with Socket(served.url) as client:
        return client.ask(request())['actions'].shape == (8, 7)


def ending(client):
    """Return the code and the reason with which the server closes."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.take()
    return closed.value.rcvd.code, closed.value.rcvd.reason


def raw(served):
    """Return a bare TCP connection to the server."""
    port = int(served.url.rpartition(':')[2])
    return socket.create_connection(('127.0.0.1', port), timeout=5)


@pytest.mark.parametrize(
    ('frame', 'cause', 'text'),
    [
        ('act', 'text', 'frame: expected a binary one, got text'),
        (b'\x80\x04\x95pickle', 'frame', 'frame: expected one msgpack message'),
        (msgpack.packb([1]), 'frame', 'frame: expected a map, got a list'),
        (b'\xdd\xff\xff\xff\xff', 'frame', 'exceeds max_array_len'),
        (pack({'prompt': 'go'}), 'input', 'observation/image: expected it in the request'),
        (pack(request() | {'observation/pose': 1}), 'input', "got 'observation/pose'"),
        (pack(request() | {'session': 7}), 'input', 'a session is a connection'),
    ],
)
def test_a_wrong_message_is_an_error_and_the_connection_goes_on(served, frame, cause, text):
    before = served.refused(cause)
    with Socket(served.url) as client:
        assert text in client.ask(frame)
        assert client.ask(request())['actions'].shape == (8, 7)
    assert served.refused(cause) == before + 1


def test_our_own_client_gets_the_number_of_what_was_wrong(served):
    with Socket(served.url) as client:
        first = client.ask(request({'id': 4}))['vla_cache']
        again = client.ask(request({'id': 4}))['vla_cache']
        odd = client.ask({'vla_cache': {'id': 9, 'call': 'dance'}})['vla_cache']
    assert first['id'] == 4
    assert (again['id'], again['kind']) == (4, 'input') and 'from 5 on, got 4' in again['error']
    assert (odd['id'], odd['kind']) == (9, 'input') and 'call: expected one of' in odd['error']


@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_frames_end_nothing(served, data):
    good = pack(request({'id': 1, 'deadline_ms': 500.0}, size=4))
    with Socket(served.url) as client:
        for _ in range(3):
            client.send(data.draw(damaged_bytes(good)))
            answer = client.take()
            assert isinstance(answer, str | dict) and (not isinstance(answer, str) or answer)
        assert client.ask(request())['actions'].shape == (8, 7)


def test_a_message_too_long_closes_and_is_counted():
    with fake_serving(Limits(max_message_bytes=10_000)) as served:
        with Socket(served.url) as client:
            client.send(request(size=100))
            assert ending(client)[0] == 1009
        assert served.wait_refused('message_size') and serves(served)


def test_too_many_messages_close_and_are_counted():
    with fake_serving(Limits(max_message_rate=10)) as served:
        with Socket(served.url) as client:
            for _ in range(25):
                client.send(b'x')
            code, reason = ending(client)
        assert code == 1008 and reason.startswith('rate: expected at most 10 messages a second')
        assert served.refused('rate') == 1 and serves(served)


def test_a_rate_lets_twice_as_many_through_at_once():
    rate = Rate(10, 0.0)
    assert [rate.take(0.0) for _ in range(21)] == [True] * 20 + [False]
    assert rate.take(0.1) and not rate.take(0.1)
    assert sum(rate.take(100.0) for _ in range(50)) == 20


def test_connections_are_bounded():
    with fake_serving(Limits(max_connections=3), sessions=4) as served:
        idle = [raw(served) for _ in range(3)]
        assert until(lambda: served.metrics.value('vla_cache_connections') == 3)
        with pytest.raises((WebSocketException, OSError, EOFError)):
            Socket(served.url)
        assert served.refused('connections') == 1
        for one in idle:
            one.close()
        assert until(lambda: served.metrics.value('vla_cache_connections') == 0)
        assert serves(served)


@pytest.mark.parametrize('data', [b'', b'GET / HTTP/1.1\r\n', b'\x16\x03\x01\x02', b'SSH-2.0\r\n'])
def test_who_does_not_finish_the_handshake_is_let_go(data):
    with fake_serving(Limits(handshake_timeout=0.2)) as served:
        with raw(served) as client:
            client.sendall(data)
            while client.recv(1000):
                pass
        assert served.wait_refused('handshake') and serves(served)


def test_a_page_that_is_no_websocket_is_counted(served):
    before = served.refused('handshake')
    with raw(served) as client:
        client.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        assert b'426' in client.recv(1000).splitlines()[0]
    assert served.refused('handshake') == before + 1


def test_who_asks_nothing_for_long_is_let_go():
    with fake_serving(Limits(idle_timeout=0.2)) as served:
        with Socket(served.url) as client:
            code, reason = ending(client)
        assert code == 1000 and reason == 'idle: expected a request within 0.2 s, got none'
        assert served.refused('idle') == 1 and serves(served)


def handshaken(served, buffer=None):
    """Return a TCP connection that has become a websocket and answers no ping."""
    client = raw(served)
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.sendall(UPGRADE)
    assert b'101' in client.recv(4096).splitlines()[0]
    return client


def test_a_half_open_client_is_let_go_and_its_session_with_it():
    with fake_serving(Limits(ping_timeout=0.2)) as served, handshaken(served):
        assert until(lambda: served.metrics.value('vla_cache_sessions') == 1)
        assert served.wait_refused('silent')
        assert until(lambda: served.metrics.value('vla_cache_sessions') == 0)
        assert serves(served)


def test_who_does_not_read_is_let_go_and_the_others_are_served():
    policy = FakeSession()
    policy.chunk = 100_000  # an answer of 11 MB does not fit into the system's buffers
    with fake_serving(Limits(write_timeout=0.3), policy=policy, sessions=2) as served:
        with handshaken(served, 4096) as slow:
            slow.sendall(masked(pack(request({'id': 1}, size=2))))
            assert served.wait_refused('slow_reader')
            policy.chunk = 8  # its room goes to the next client
            assert serves(served)
            assert until(lambda: served.metrics.value('vla_cache_sessions') == 0)


def test_requests_that_pile_up_are_not_read(served):
    policy = FakeSession()
    policy.delay = 0.3
    with fake_serving(Limits(max_waiting=2), policy=policy) as served, Socket(served.url) as one:
        one.send(request({'id': 0}))
        assert until(lambda: policy.began)
        for number in range(1, 6):
            one.send(request({'id': number}))
        answers = [one.take()['vla_cache'] for _ in range(6)]
    assert [answer['id'] for answer in answers] == list(range(6))
    kinds = [answer.get('kind', 'done') for answer in answers]
    assert kinds[0] == kinds[-1] == 'done' and set(kinds) <= {'done', 'superseded'}


def test_clients_that_come_and_go_leave_nothing(served):
    def churn(count):
        for number in range(count):
            with raw(served) if number % 3 == 0 else connect(served.url) as client:
                if number % 3 == 1:
                    client.send(b'odd')
        assert until(lambda: served.metrics.value('vla_cache_connections') == 0)
        gc.collect()
        return len(os.listdir('/proc/self/fd')), threading.active_count()

    before = churn(20)
    after = churn(120)
    assert after == before
    assert served.metrics.value('vla_cache_sessions') == 0 and serves(served)


def test_a_server_that_ends_answers_what_was_asked_and_closes():
    policy = FakeSession()
    policy.delay = 0.3
    with fake_serving(policy=policy) as served, Socket(served.url) as client:
        client.send(request({'id': 1}))
        assert until(lambda: policy.began)
        draining = served.drain()
        assert client.take()['vla_cache']['id'] == 1
        assert ending(client) == (1001, 'the server ends')
        draining.result(5)
        with pytest.raises((OSError, InvalidStatus)):
            Socket(served.url)


def test_a_server_does_not_wait_for_a_client_that_never_closes():
    with fake_serving(Limits(drain_timeout=0.2)) as served, handshaken(served):
        assert until(lambda: served.metrics.value('vla_cache_sessions') == 1)
        begin = time.monotonic()
        served.drain().result(10)
        assert time.monotonic() - begin < 4
