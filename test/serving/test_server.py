# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A server speaks openpi's wire and our own: metadata, answers, sessions, health, figures."""

from concurrent.futures import ThreadPoolExecutor
import json
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from served import fake_serving
from served import FakeSession
from served import request
from served import Socket
from served import until
from vla_cache_ros.serving.messages import read_metadata
from vla_cache_ros.serving.messages import read_report
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from websockets.exceptions import ConnectionClosed


@pytest.fixture(scope='module')
def served():
    with fake_serving(sessions=2, max_batch=2) as found:
        yield found


def get(url):
    """Return status and text of a page."""
    try:
        with urllib.request.urlopen(url.replace('ws', 'http', 1), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_says_first_what_it_serves(served):
    with Socket(served.url) as client:
        model = read_metadata(client.metadata)
    assert model == served.model
    assert model.cameras == ('observation/image', 'observation/wrist_image')
    assert (model.state, model.chunk, model.action_dim) == (8, 8, 7)


def test_a_client_of_openpi_gets_actions_and_times(served):
    with Socket(served.url) as client:
        answer = client.ask(request())
    assert set(answer) == {'actions', 'server_timing'}
    assert answer['actions'].shape == (8, 7) and answer['actions'].dtype == np.float64
    assert answer['server_timing']['infer_ms'] <= answer['server_timing']['total_ms']


def test_the_policy_gets_what_was_sent(served):
    message = request({'id': 1, 'rest': np.ones((3, 7)), 'delay': 2})
    with Socket(served.url) as client:
        client.ask(message)
        policy = next(one for one in served.policy.book.made if one.observations)
        (seen,) = policy.observations
        assert np.array_equal(seen.images[1], message['observation/wrist_image'])
        assert np.array_equal(seen.proprio, message['observation/state'])
        assert seen.instruction == message['prompt']
        rest, delay = policy.left[-1]
        assert np.array_equal(rest, np.ones((3, 7))) and delay == 2


def test_our_own_client_gets_report_and_counts(served):
    with Socket(served.url) as client:
        answer = client.ask(request({'id': 5, 'call': 'act'}))
        extra = answer['vla_cache']
        assert extra['id'] == 5 and extra['normalized'].shape == (8, 7)
        report = read_report(extra['report'])
        assert (report.gate, report.reuse) == ('fake', 0.5) and report.active.sum() == 256
        assert extra['invalidations'] == {'episode_reset': 1}
        client.ask({'vla_cache': {'id': 6, 'call': 'invalidate', 'cause': 'gap_too_long'}})
        answer = client.ask({'vla_cache': {'id': 7, 'call': 'reset', 'cause': 'handed_back'}})
        assert answer['vla_cache'] == {
            'id': 7,
            'invalidations': {'episode_reset': 1, 'gap_too_long': 1, 'handed_back': 1},
        }


def test_a_shadow_says_what_a_dense_step_gives(served):
    with Socket(served.url) as client:
        answer = client.ask(request({'id': 0, 'call': 'shadow', 'step': 3}))
        assert answer['actions'].shape == (8, 7) and 'report' not in answer['vla_cache']
    assert any(shadow[1] == 3 for one in served.policy.book.made for shadow in one.shadows)


def test_a_gate_is_asked_for_reuse_by_one_session_alone(served):
    with Socket(served.url) as client, Socket(served.url) as other:
        client.ask({'vla_cache': {'id': 0, 'call': 'ask', 'reuse': 0.7}})
        reports = [c.ask(request({'id': 1}))['vla_cache']['report'] for c in (client, other)]
        assert [report['reuse'] for report in reports] == [0.7, 0.5]
        answer = client.ask({'vla_cache': {'id': 2, 'call': 'ask', 'reuse': 0.9}})
        assert (
            answer['vla_cache']['kind'] == 'input' and '0 to 0.8' in answer['vla_cache']['error']
        )
    with Socket(served.url) as client:
        assert client.ask(request({'id': 1}))['vla_cache']['report']['reuse'] == 0.5


def test_a_connection_begins_an_episode(served):
    for _ in range(2):
        with Socket(served.url) as client:
            steps = [client.ask(request())['actions'][0, 0] for _ in range(3)]
            assert steps == [1, 2, 3]
            client.ask({'vla_cache': {'id': 0, 'call': 'reset'}})
            assert client.ask(request())['actions'][0, 0] == 1


def test_sessions_do_not_meet(served):
    with Socket(served.url) as one, Socket(served.url) as other:
        assert [one.ask(request())['actions'][0, 0] for _ in range(3)] == [1, 2, 3]
        assert other.ask(request())['actions'][0, 0] == 1


def test_one_session_too_many_is_refused_with_a_line_and_room_comes_back(served):
    before = served.refused('full')
    with Socket(served.url), Socket(served.url):
        with pytest.raises(ConnectionClosed) as closed:
            Socket(served.url)
        assert closed.value.rcvd.code == 1013
        assert closed.value.rcvd.reason.startswith('sessions: all 2 are taken')
    assert served.refused('full') == before + 1
    with Socket(served.url) as client:
        assert client.ask(request())['actions'].shape == (8, 7)


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (ValueError('image 0: too dark'), 'input'),
        (NonFiniteOutputError('NaN'), 'non_finite'),
        (MemoryError('out of memory\nreally'), 'failed'),
    ],
)
def test_an_error_of_the_policy_is_named_and_the_session_goes_on(served, error, kind):
    before = served.refused(kind)
    with Socket(served.url) as client:
        try:
            for policy in served.policy.book.made:
                policy.error = error
            answer = client.ask(request({'id': 1}))['vla_cache']
            text = client.ask(request())
        finally:
            for policy in served.policy.book.made:
                policy.error = None
        assert (answer['id'], answer['kind']) == (1, kind)
        assert answer['invalidations'] == {'episode_reset': 1}
        assert answer['error'] == text and '\n' not in text
        assert client.ask(request())['actions'].shape == (8, 7)
    assert served.refused(kind) == before + 2


def test_health_and_figures_are_on_the_same_port(served):
    assert get(f'{served.url}/healthz') == (200, 'ok\n')
    with Socket(served.url) as client:
        client.ask(request())
        status, text = get(f'{served.url}/metrics')
    assert status == 200
    lines = dict(line.rsplit(' ', 1) for line in text.splitlines() if not line.startswith('#'))
    assert float(lines['vla_cache_sessions']) == 1
    assert float(lines['vla_cache_sessions_limit']) == 2
    assert float(lines['vla_cache_request_seconds_count{call="act"}']) >= 1
    assert float(lines['vla_cache_batch_size_count']) >= 1
    assert float(lines['vla_cache_reuse_sum']) > 0
    assert 'vla_cache_refusals_total{cause="late"}' in lines
    assert float(lines['vla_cache_session_bytes']) == 1000


def test_the_loop_answers_while_the_model_computes():
    policy = FakeSession()
    policy.delay = 2.0
    with fake_serving(policy=policy) as served, Socket(served.url) as client:
        client.send(request())
        assert until(lambda: policy.began)
        begin = time.monotonic()
        assert get(f'{served.url}/healthz')[0] == 200
        client.socket.ping().wait(5)
        assert time.monotonic() - begin < 1.0
        assert client.take()['actions'].shape == (8, 7)


def test_all_steps_are_made_by_one_thread():
    policy = FakeSession()
    with fake_serving(policy=policy, sessions=4) as served, ThreadPoolExecutor(4) as pool:

        def robot(_):
            with Socket(served.url) as client:
                return [client.ask(request())['actions'][0, 0] for _ in range(20)]

        assert list(pool.map(robot, range(4))) == [list(range(1, 21))] * 4
    assert len(policy.book.threads) == 1 and policy.book.threads != {threading.get_ident()}


def test_metadata_are_plain_values(served):
    assert json.dumps(served.model.to_message())
