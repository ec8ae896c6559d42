# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node with a policy server: configure, what it says of itself, and what it leaves behind."""

import json
import time

from fake_policy_server import FakePolicyServer
from fake_policy_server import METADATA
from policy_servers import free_port
import pytest
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from std_msgs.msg import String
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.vla_node import VLANode

JOINTS = {
    'output': 'joint_positions',
    'arm_joints': ['shoulder', 'elbow'],
    'joint_lower': [-1.0, -1.0],
    'joint_upper': [1.0, 1.0],
}


@pytest.fixture
def server():
    """Yield a server that listens."""
    with FakePolicyServer().listening() as server:
        yield server


@pytest.fixture
def token(tmp_path):
    """Return a file with a token."""
    file = tmp_path / 'token'
    file.write_text('do-not-tell-anybody')
    return file


def remote(url, **parameters):
    """Return the graph of a node that asks a server."""
    return Graph(VLANode, parameters=VLA_PARAMETERS | {'policy_url': url} | parameters)


def test_the_node_says_who_acts_and_never_the_token(server, token):
    with remote(server.url, policy_token_file=str(token)) as graph:
        told = []
        graph.outside.create_subscription(String, 'vla_node/run_info', told.append, LATCHED)
        graph.healthy_start()
        assert server.headers[-1]['Authorization'] == 'Bearer do-not-tell-anybody'
        assert graph.wait(lambda: told and graph.outside.health)
        policy = json.loads(told[-1].data)['policy']
        assert policy == {
            'checkpoint': 'none', 'gate': 'motion', 'gate_weights': '', 'images': 'as they come',
            'server': server.url,
        }  # fmt: skip
        assert graph.wait(lambda: graph.outside.health[-1].get('policy connections') == '1')
        health = graph.outside.health[-1]
        assert health['gate'] == 'motion' and health['policy server'] == 'connected'
        assert graph.wait(lambda: graph.outside.reports)
        assert graph.outside.reports[-1]['gate'] == 'motion'
        assert set(graph.outside.reports[-1]['latency_ms']) == {'total', 'wire'}
        said = [told[-1].data, *graph.outside.log, *map(str, graph.outside.health)]
        assert not any('do-not-tell' in text for text in said)


def test_cleanup_leaves_the_server_and_configure_comes_back(server):
    with remote(server.url) as graph:
        graph.healthy_start()
        assert graph.transition('deactivate') and graph.transition('cleanup')
        assert graph.wait(lambda: not server.open)
        assert graph.transition('configure') and graph.transition('activate')
        assert graph.wait(graph.outside.moving)
    assert graph_is_left(server)


def graph_is_left(server):
    """Return whether nobody is connected any more, within a moment."""
    deadline = time.monotonic() + 5.0
    while server.open and time.monotonic() < deadline:
        time.sleep(0.01)
    return not server.open


def test_without_a_server_configure_fails_in_one_line_and_can_be_called_again():
    port = free_port()
    with remote(f'ws://127.0.0.1:{port}', policy_wait=0.2) as graph:
        assert not graph.transition('configure')
        assert graph.logged(f'on_configure failed: ws://127.0.0.1:{port}: [Errno 111]')
        with FakePolicyServer().listening(port):
            assert graph.transition('configure')


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ({'execute_steps': 9}, 'execute_steps: expected at most 8'),
        ({'camera_names': ['front', 'wrist']}, 'camera_names: expected'),
        ({'image_topics': ['image_raw']}, 'image_topics: expected 2'),
        (JOINTS, 'output: expected actions of 3'),
    ],
)
def test_what_does_not_fit_the_servers_model_fails_configure_and_leaves_it(server, changed, words):
    with remote(server.url, **changed) as graph:
        assert not graph.transition('configure')
        assert graph.logged(words)
        assert graph.wait(lambda: not server.open)


def test_a_shorter_inference_timeout_holds_at_once(server):
    with remote(server.url, inference_timeout=5.0) as graph:
        graph.healthy_start()
        assert graph.set_parameter('inference_timeout', 0.2).successful
        server.fault = 'silent'
        assert graph.wait(lambda: graph.told_of('policy_silent'), 4.0)


def test_cached_actions_are_compared_with_dense_ones_of_the_server(server):
    with remote(server.url, control_frequency=20.0, execute_steps=2) as graph:
        graph.healthy_start()
        before = len([one for one in server.seen if one['vla_cache']['call'] == 'shadow'])
        assert before == 1  # of warming up
        health = graph.outside.health
        checked = lambda: any(int(one.get('drift checks', 0)) > 0 for one in health)  # noqa: E731
        assert graph.wait(checked, 60.0)
        asked = [one['vla_cache'] for one in server.seen if one['vla_cache']['call'] == 'shadow']
        assert asked[-1]['step'] > 0
        assert health[-1]['drift alarms'] == '0'


def test_a_slow_server_is_asked_for_more_reuse(server):
    assert METADATA.largest_reuse == 0.8
    slow = {'execute_steps': 1, 'inference_timeout': 2.0, 'drift_threshold': 0.0}
    with remote(server.url, **slow) as graph:
        graph.healthy_start()
        server.fault = 'slow 0.13'
        assert graph.wait(lambda: any(one['vla_cache']['call'] == 'ask' for one in server.seen))
        asked = next(one for one in server.seen if one['vla_cache']['call'] == 'ask')
        assert 0.5 < asked['vla_cache']['reuse'] <= 0.8
