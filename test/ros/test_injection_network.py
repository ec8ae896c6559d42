# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The cable between policy and robot is pulled and put back: both ends stop, and find each other.

In two network namespaces with a cable between them, so that no other process notices; that takes
root and the program `ip` (iproute2). VLA_CACHE_LINK=FILE writes what was measured.
"""

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading
import time

from paths import ROOT
import pytest

SUPPORT = ROOT / 'test' / 'support'
RECORD = os.environ.get('VLA_CACHE_LINK')
LEASE = 2  # s without a word after which a participant is dropped; Fast DDS's default is 20
PROFILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
 <participant profile_name="short_lease" is_default_profile="true"><rtps><builtin>
  <discovery_config>
   <leaseDuration><sec>{LEASE}</sec></leaseDuration>
   <leaseAnnouncement><sec>0</sec><nanosec>500000000</nanosec></leaseAnnouncement>
  </discovery_config>
 </builtin></rtps></participant>
</profiles>
"""


def run(*command):
    """Return what a command writes; raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def link():
    """Yield two namespaces, each with one end of a cable that is called as the namespace is."""
    if shutil.which('ip') is None:
        pytest.skip('expected the program ip, got none: install iproute2 to try it')
    near, far = (f'vla{side}{os.getpid()}'[:15] for side in 'ab')
    try:
        for end in (near, far):
            run('ip', 'netns', 'add', end)
        peer = ['peer', 'name', far, 'netns', far]
        run('ip', 'link', 'add', near, 'netns', near, 'type', 'veth', *peer)
        for number, end in enumerate((near, far), 1):
            run('ip', '-n', end, 'addr', 'add', f'10.99.0.{number}/24', 'dev', end)
            for device in ('lo', end):
                run('ip', '-n', end, 'link', 'set', device, 'up')
        # Fast DDS takes the interfaces that run when it starts; a cable needs a second for that
        for end in (near, far):
            assert wait(lambda end=end: ' state UP ' in run('ip', '-n', end, 'link'), 10.0)
        yield near, far
    except subprocess.CalledProcessError as error:
        pytest.skip(f'expected the right to make network namespaces, got: {error.stderr!r}')
    finally:
        for end in (near, far):
            subprocess.run(['ip', 'netns', 'del', end], capture_output=True)


class Process:
    """A program in a namespace, and the lines that it wrote, with the time at which they came."""

    def __init__(self, end, profile, *command):
        """Start Python there."""
        environment = {
            **os.environ,
            'PYTHONPATH': f'{SUPPORT}:{ROOT}',
            'PYTHONUNBUFFERED': '1',
            'ROS_DOMAIN_ID': '0',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
            'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',  # both ends share the memory of one machine
            'FASTRTPS_DEFAULT_PROFILES_FILE': str(profile),
        }
        self.lines = []
        self.process = subprocess.Popen(
            ['ip', 'netns', 'exec', end, sys.executable, *command],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.time(), line))

    def since(self, instant):
        """Return the lines that came after an instant."""
        return [line for came, line in list(self.lines) if came > instant]

    def end(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()


def wait(condition, timeout=90.0):
    """Return whether condition became true within timeout (s)."""
    deadline = time.monotonic() + timeout
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def moves(robot, since):
    """Return when twists that move the arm reached the robot after an instant."""
    twists = [json.loads(line) for line in robot.since(since) if line.startswith('[1')]
    return [came for came, moving in twists if moving and came > since]


@pytest.mark.parametrize(
    'down',
    [
        pytest.param(1.0, id='shorter than the lease'),
        pytest.param(LEASE + 2.0, id='longer', marks=pytest.mark.slow),
    ],
)
def test_pulled_cable_stops_both_ends_and_motion_returns_without_a_restart(link, tmp_path, down):
    profile = tmp_path / 'lease.xml'
    profile.write_text(PROFILE)
    near, far = link
    parameters = {'image_topics': '[image_raw,wrist/image_raw]', 'control_frequency': 10.0,
                  'execute_steps': 4, 'dry_run': 'false', 'execution': 'asynchronous',
                  'image_timeout': 0.3, 'state_timeout': 0.3}  # fmt: skip
    ros = [text for k, v in parameters.items() for text in ('-p', f'{k}:={v}')]
    node = Process(near, profile, str(SUPPORT / 'fake_vla_node.py'), '--ros-args', *ros)
    robot = Process(far, profile, str(SUPPORT / 'link_robot.py'))
    try:
        assert wait(lambda: moves(robot, 0.0)), (node.lines[-20:], robot.lines[-20:])
        time.sleep(0.5)
        pulled = time.time()
        run('ip', '-n', near, 'link', 'set', near, 'down')
        assert wait(lambda: any('image_raw: expected a message' in x for x in node.since(pulled)))
        named = next(came for came, line in node.lines if came > pulled and 'stop: ' in line)
        time.sleep(max(0.0, pulled + down - time.time()))
        put_back = time.time()
        run('ip', '-n', near, 'link', 'set', near, 'up')
        during = [came for came in moves(robot, pulled) if came < put_back]
        silent_for = max([pulled, *during]) - pulled
        assert wait(lambda: moves(robot, put_back)), (node.lines[-20:], robot.lines[-20:])
        back = moves(robot, put_back)[0] - put_back
    finally:
        for process in (node, robot):
            process.end()
    assert silent_for < 0.3  # nothing but what was under way
    assert not any('Traceback' in line for _, line in node.lines)
    if down > LEASE:
        assert '1 nodes\n' in robot.since(pulled)  # itself: the other was given up
    if RECORD:
        figures = {'down_s': down, 'lease_s': LEASE, 'last_motion_s': silent_for,
                   'named_s': named - pulled, 'motion_again_s': back}  # fmt: skip
        with Path(RECORD).open('a', encoding='utf-8') as file:
            file.write(json.dumps(figures) + '\n')
