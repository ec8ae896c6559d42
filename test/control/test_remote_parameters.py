# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy is here or at a server, and what concerns the model is said where it is."""

from dataclasses import fields
import re

import pytest
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.declaration import check
from vla_cache_ros.ros.loading import load_policy

URL = 'wss://gpu.lab:8000'
KNOWN = {one.name: one for one in fields(VLAParameters)}


@pytest.mark.parametrize(
    'url', ['', 'ws://127.0.0.1:8000', URL, 'wss://gpu.lab', 'ws://[::1]:8000', URL + '/']
)
def test_addresses_of_servers_are_taken(url):
    assert check(KNOWN['policy_url'], url) == ''


@pytest.mark.parametrize(
    'url',
    [
        'http://gpu.lab',
        'gpu.lab:8000',
        'ws://',
        'ws://me:word@gpu.lab',
        'ws://gpu.lab/?a',
        'ws://a b',
    ],
)
def test_other_addresses_are_refused_in_one_line(url):
    line = check(KNOWN['policy_url'], url)
    assert line.startswith('policy_url: expected') and repr(url) in line and '\n' not in line


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ({'model_path': 'tabletop'}, 'model_path: expected nothing with policy_url'),
        (
            {'gate': 'learned'},
            "gate: expected 'dense', its default, with policy_url, got 'learned'",
        ),
        ({'reuse': 0.5}, 'reuse: expected -1.0'),
        ({'device': 'cuda'}, "device: expected 'cpu'"),
        ({'image_rotation': (180.0,)}, 'image_rotation: expected []'),
        ({'center_crop': 0.9}, 'center_crop: expected -1.0'),
        ({'flow_steps': 3}, 'flow_steps: expected 0'),
        ({'execution_horizon': 5}, 'execution_horizon: expected 10'),
        ({'unnorm_key': 'toy'}, "unnorm_key: expected ''"),
        ({'policy_url': 'ws://a:1', 'policy_ca_file': 'ca'}, 'policy_url: expected wss:// with'),
        (
            {'policy_url': '', 'policy_token_file': 'x'},
            'policy_token_file: expected nothing without',
        ),
        ({'policy_url': '', 'policy_ca_file': 'x'}, 'policy_ca_file: expected nothing without'),
    ],
)
def test_what_contradicts_a_server_is_one_line(changed, words):
    line = VLAParameters(**{'policy_url': URL} | changed).contradiction()
    assert re.search(re.escape(words), line), line
    assert '\n' not in line


def test_a_server_and_what_is_the_nodes_own_go_together():
    own = {'control_frequency': 8.0, 'execution': 'asynchronous', 'policy_token_file': '/t'}
    assert VLAParameters(policy_url=URL, policy_ca_file='/ca', **own).contradiction() == ''


def test_neither_a_model_nor_a_server_is_one_line():
    with pytest.raises(ValueError, match=r'^model_path: expected .* or policy_url, got nothing$'):
        load_policy(VLAParameters())
