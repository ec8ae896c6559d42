# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that is served acts as it does here: along one bag, the same actions and reuse."""

from bag_samples import header
from bag_samples import MS
from bag_samples import of
from bag_samples import recording
from bag_samples import START
from bag_samples import write_bag
import numpy as np
import pytest
from served import serving
from served import Socket
from tiny_model import write_checkpoint
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.policy import Policy
from vla_cache_ros.serving.client.policy import RemotePolicy
from vla_cache_ros.serving.messages import to_request
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.scheduler import Scheduler

GATE, IMAGES = 'motion', {'center_crop': 0.9, 'rotation': (180, 0), 'resize_filter': 'lanczos3'}


def filmed(topic, stamp, ms):
    """Return a picture of noise in which a square moves, of another size for each camera."""
    high, wide = (60, 80) if topic == '/image_raw' else (48, 48)
    rgb = np.random.default_rng(len(topic)).integers(0, 255, (high, wide, 3), np.uint8)
    rgb[10:20, ms // 50 % 30 : ms // 50 % 30 + 10] = 255
    return of(
        'sensor_msgs/msg/Image', header=header(stamp), height=high, width=wide, encoding='rgb8',
        is_bigendian=0, step=3 * wide, data=rgb.reshape(-1),
    )  # fmt: skip


@pytest.fixture(scope='module')
def observations(tmp_path_factory):
    """Return what a walk through one bag gives."""
    messages = [
        (time, topic, filmed(topic, START + ms * MS, ms) if 'image' in topic else message)
        for time, topic, message in recording(3, instruction='pick up red cube')
        for ms in [(time - START) // MS // 10 * 10]
    ]
    bag = Bag(write_bag(tmp_path_factory.mktemp('bag') / 'bag', messages))
    steps = [step.observation for step in walk(bag, BagTopics(), Cadence(0.2))]
    assert len(steps) >= 12
    return steps


@pytest.fixture(scope='module')
def load(tmp_path_factory):
    """Return what loads the one checkpoint."""
    folder = write_checkpoint(tmp_path_factory.mktemp('model'))
    return lambda sessions: Policy.from_pretrained(
        str(folder), GATE, images=IMAGES, sessions=sessions
    )


@pytest.fixture(scope='module')
def served(load):
    """Yield a server of it."""
    metrics = Metrics()
    scheduler = Scheduler(lambda: load(2), metrics, sessions=2)
    scheduler.start()
    with serving(scheduler, metrics) as served:
        yield served


def test_actions_reports_and_shadows_are_those_of_the_policy_itself(observations, load, served):
    local, remote = load(1), RemotePolicy(served.url)
    try:
        for policy in (local, remote):
            policy.reset()
        reused = 0.0
        for index, observation in enumerate(observations):
            if index == 7:
                for policy in (local, remote):
                    policy.invalidate('drift')
            (here, said), (there, told) = (p.act(observation) for p in (local, remote))
            np.testing.assert_array_equal(there.actions, here.actions)
            np.testing.assert_array_equal(there.normalized, here.normalized)
            np.testing.assert_array_equal(told.active, said.active)
            np.testing.assert_array_equal(told.ages, said.ages)
            assert (told.step, told.gate, told.reuse, told.refresh, told.passes) == (
                said.step, said.gate, said.reuse, said.refresh, said.passes,
            )  # fmt: skip
            reused += said.reuse
            if index % 5 == 0:
                dense = [p.shadow(observation, said.step) for p in (local, remote)]
                np.testing.assert_array_equal(dense[1].actions, dense[0].actions)
        assert reused > 1.0  # the cache was in use
        assert remote.invalidations['drift'] == local.invalidations['drift'] == 1
        for name in (
            'family',
            'num_images',
            'chunk',
            'camera_names',
            'proprio_size',
            'takes_rest',
        ):
            assert getattr(remote, name) == getattr(local, name), name
        assert remote.description.items() >= local.description.items()
        assert remote.gate.name == local.gate.name
    finally:
        remote.close()


def test_an_openpi_client_gets_the_same_actions(observations, load, served):
    local = load(1)
    local.reset()
    socket = Socket(served.url)
    try:
        for observation in observations:
            expected, _ = local.act(observation)
            message = to_request(observation, ('observation/image', 'observation/wrist_image'))
            socket.send(message)
            answer = socket.take()
            assert set(answer) == {'actions', 'server_timing'}
            np.testing.assert_array_equal(answer['actions'], expected.actions)
    finally:
        socket.socket.close()
