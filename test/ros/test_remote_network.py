# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The cable between node and policy server is pulled and put back; the robot is on the node's side.

In two network namespaces, as test_injection_network.py has them. VLA_CACHE_REMOTE_LINK=FILE writes
what was measured.
"""

import json
import os
from pathlib import Path
import time

import pytest
from test_injection_network import link  # noqa: F401 - a fixture
from test_injection_network import moves
from test_injection_network import Process
from test_injection_network import PROFILE
from test_injection_network import run
from test_injection_network import SUPPORT
from test_injection_network import wait
from tiny_model import write_checkpoint

RECORD = os.environ.get('VLA_CACHE_REMOTE_LINK')
TIMEOUT = 0.12 if RECORD else 1.0  # s, inference_timeout
PERIOD = 0.4  # s between two inferences
DOWN = 3.0  # s, longer than the node waits for a sign of life
URL = 'ws://10.99.0.2:8000'


@pytest.mark.slow
def test_a_pulled_cable_to_the_server_stops_the_arm_and_motion_returns(link, tmp_path):  # noqa: F811
    profile = tmp_path / 'profile.xml'
    profile.write_text(PROFILE)
    near, far = link
    parameters = {'image_topics': '[image_raw,wrist/image_raw]', 'control_frequency': 10.0,
                  'execute_steps': 4, 'dry_run': 'false', 'execution': 'asynchronous',
                  'image_timeout': 2.0, 'state_timeout': 2.0, 'degrade': 'false',
                  'inference_timeout': TIMEOUT, 'policy_url': URL, 'policy_wait': 300.0,
                  'drift_threshold': 0.0}  # fmt: skip
    ros = [text for name, value in parameters.items() for text in ('-p', f'{name}:={value}')]
    model = write_checkpoint(tmp_path / 'model')
    serve = ['serve', '--checkpoint', str(model), '--gate', 'motion', '--host', '10.99.0.2',
             '--port', '8000', '--insecure']  # fmt: skip
    started = [Process(far, profile, '-m', 'vla_cache_ros.cli', *serve)]
    try:
        assert wait(lambda: any('serving' in x for x in started[0].since(0)), 300.0), started[
            0
        ].lines
        node = Process(near, profile, '-m', 'vla_cache_ros.ros.vla_node', '--ros-args', *ros)
        robot = Process(near, profile, str(SUPPORT / 'link_robot.py'))
        started += [node, robot]
        assert wait(lambda: moves(robot, 0.0)), (node.lines[-20:], robot.lines[-20:])
        time.sleep(1.0)
        pulled = time.time()
        run('ip', '-n', near, 'link', 'set', near, 'down')
        assert wait(lambda: any('stop: policy_silent' in line for line in node.since(pulled)))
        named = next(came for came, line in node.lines if came > pulled and 'policy_sil' in line)
        time.sleep(max(0.0, pulled + DOWN - time.time()))
        put_back = time.time()
        run('ip', '-n', near, 'link', 'set', near, 'up')
        during = [came for came in moves(robot, pulled) if came < put_back]
        last = max([pulled, *during]) - pulled
        assert wait(lambda: moves(robot, put_back)), (node.lines[-20:], robot.lines[-20:])
        back = moves(robot, put_back)[0] - put_back
    finally:
        for process in started:
            process.end()
    # what was inferred before is played until the next inference, which is waited for in vain
    assert last < PERIOD + TIMEOUT + (0.15 if RECORD else 1.0)
    assert not any('Traceback' in line for _, line in node.lines)
    if RECORD:
        figures = {'down_s': DOWN, 'inference_timeout_s': TIMEOUT, 'period_s': PERIOD,
                   'last_motion_s': last, 'named_s': named - pulled,
                   'motion_again_s': back}  # fmt: skip
        with Path(RECORD).open('a', encoding='utf-8') as file:
            file.write(json.dumps(figures) + '\n')
