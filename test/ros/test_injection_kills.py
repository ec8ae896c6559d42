# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A process that is killed leaves an arm that holds still, and goes on once it is started anew."""

import json
import subprocess
import sys

import kill as kill_drill
from kill_graph import MOVING
import numpy as np
from paths import ROOT
import pytest
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.ros import shared_memory

SUPPORT = ROOT / 'test' / 'support'


@pytest.mark.slow
def test_either_process_is_killed_and_the_arm_stops_and_goes_on(tmp_path, monkeypatch):
    path = f'{SUPPORT}:{ROOT}'
    monkeypatch.setenv('PYTHONPATH', path)
    monkeypatch.setitem(kill_drill.MODULES, kill_drill.VLA, 'fake_vla_node')
    for moments in kill_drill.MOMENTS.values():
        for moment in set(moments) - {'moving'}:
            monkeypatch.delitem(moments, moment)
    monkeypatch.setattr(kill_drill, 'STOP_LIMIT', 2000.0)  # a busy machine is not the subject
    monkeypatch.setattr(kill_drill, 'HOLD_LIMIT', 1000.0)
    figures = kill_drill.drill_kill(tmp_path, 2, 0, 'tabletop', 'dense')
    assert figures == json.loads((tmp_path / 'kill.json').read_text())
    assert [kill['victim'] for kill in figures['kills']] == ['vla_node', 'sim_robot_node']
    assert figures['violations'] == []
    assert figures['ok']
    assert 'stale' in figures['kills'][1]['cause']
    assert all(kill['recovery_s'] > 0 for kill in figures['kills'])


def test_simulated_arm_coasts_no_longer_than_the_drill_allows_for():
    environment, tick = Tabletop(), 0.02
    nothing = np.zeros(3)
    coasted = []
    for axis in np.eye(3):
        environment.reset_state(0, None)
        for _ in range(25):
            environment.apply_twist(kill_drill.LINEAR * axis, nothing, 1.0, tick)
        places = []
        for _ in range(60):
            places.append(np.array(environment.end_effector_pose()[0]))
            environment.apply_twist(nothing, nothing, 1.0, tick)
        speeds = np.linalg.norm(np.diff(places, axis=0), axis=1) / tick
        coasted.append(tick * (1 + np.flatnonzero(speeds > MOVING)[-1]))
    environment.close()
    assert 0.5 * kill_drill.SETTLING < max(coasted) <= kill_drill.SETTLING


def test_what_was_not_promised_is_a_violation():
    seen = {'hold_ms': 1000.0, 'stop_ms': 900.0, 'cause': 'paused', 'dead_segments': 99}
    texts = kill_drill._judge(seen)
    assert [text.split(' ')[1] for text in texts] == ['arm', 'node', 'node', 'dead']
    assert kill_drill._judge({'dead_segments': 0, 'hold_ms': 10.0}) == []


def test_shared_memory_of_dead_processes_is_removed_and_that_of_living_ones_kept(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(shared_memory, 'FOLDER', tmp_path)
    monkeypatch.setattr(shared_memory, 'AGE', 0.0)
    dead, living, port = ('fastrtps_' + name for name in ('0' * 16, '1' * 16, 'port7000'))
    for name in (dead, living, port):
        (tmp_path / name).write_bytes(b'x')
        (tmp_path / f'{name}_el').write_bytes(b'')
    code = 'import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(1)'
    owner = subprocess.Popen(
        [sys.executable, '-uc', f'{code}; sys.stdin.read()', str(tmp_path / f'{living}_el')],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    owner.stdout.read(1)
    try:
        assert shared_memory.dead_segments() == [tmp_path / dead]
        shared_memory.remove_dead_segments()
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {living, f'{living}_el', port, f'{port}_el'}
    finally:
        owner.communicate()
