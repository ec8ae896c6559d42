# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A full disk ends the recorder with its reason, not the policy; the bag stays readable."""

import resource
import subprocess

import numpy as np
import pytest
from ros_graph import CAMERAS
from ros_graph import Graph
from ros_graph import picture
from ros_graph import VLA_PARAMETERS
from ros_processes import arguments
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.ros.vla_node import VLANode

ROOM = 3 * 2**20  # bytes; one picture has 0.9
TOPICS = [*CAMERAS, 'delta_twist_cmds']


def noise():
    """Return a picture that no compression makes smaller."""
    message = picture(640, 480)
    values = np.random.default_rng(0).integers(0, 255, 640 * 480 * 3, np.uint8)
    message.data = values.tobytes()
    return message


@pytest.fixture(params=['no room on the disk', 'a limit of the file size'])
def recorder(request, tmp_path, start):
    """Yield how to start a recorder that soon cannot write, and the folder of its bag."""
    bag = tmp_path / 'disk' / 'bag'
    command = ['-m', 'vla_cache_ros.ros.recorder', *arguments(bag_path=bag, topics=TOPICS)]
    if request.param == 'a limit of the file size':
        bag.parent.mkdir()
        limits = f'import resource; resource.setrlimit({resource.RLIMIT_FSIZE}, ({ROOM}, {ROOM}));'
        code = 'from vla_cache_ros.ros.recorder import main; main()'
        yield lambda: start('-c', f'{limits} {code}', *command[2:]), bag
        return
    bag.parent.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', f'size={ROOM}', 'none', str(bag.parent)]
    try:
        refused = subprocess.run(mount, capture_output=True).returncode
    except FileNotFoundError:
        refused = 1
    if refused:
        pytest.skip('expected the right to mount a tmpfs, got none: run as root to try it')
    try:
        yield lambda: start(*command), bag
    finally:
        subprocess.run(['umount', str(bag.parent)], check=True)


def test_recorder_ends_with_its_reason_and_leaves_a_bag_that_can_be_read(recorder, policy):
    begin, bag = recorder
    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS) as graph:
        graph.outside.pictures = dict.fromkeys(CAMERAS, noise())
        process = begin()
        count = graph.outside.count_subscribers
        assert graph.wait(lambda: count('image_raw') == 1, 60), 'no recorder'
        graph.healthy_start()
        output, _ = process.communicate(timeout=60)
        inferences = len(graph.outside.reports)
        assert graph.wait(lambda: len(graph.outside.reports) >= inferences + 2)
        # once a second: the last one may be of before the instruction
        assert graph.wait(lambda: graph.outside.health[-1]['stop causes'] == 'none')
    assert process.returncode == 1, output
    assert 'bag_not_written: expected room on the disk, got: [Errno' in output
    assert 'Traceback' not in output
    found = Bag(bag)
    messages = list(found.messages(['/image_raw']))
    assert len(messages) >= 1
    assert all(bytes(m.message.data) == bytes(noise().data) for m in messages)
