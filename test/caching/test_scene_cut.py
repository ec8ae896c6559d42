# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that moves or grows brighter is no cut; one that shows another scene is."""

from cuts import count
from cuts import told
from cuts import watch
import numpy as np
import pytest
from scenery import view
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.policy import Policy

SEEDS = (0, 8, 19, 85, 92)  # of 200 those whose wrist camera changes most between two steps


@pytest.fixture(scope='module')
def episodes():
    """Return what the policy sees in a few episodes, images [n, 2, 224, 224, 3] each."""
    policy, world = Policy.from_pretrained('tabletop', gate='learned'), Tabletop()
    yield [watch(policy, world, seed) for seed in SEEDS]
    world.close()


def test_no_motion_of_the_arm_is_a_cut_and_every_made_cut_is_told(episodes):
    figures = count(episodes, 200, np.random.default_rng(0))
    assert figures['steps'] >= 20 and figures['false_alarms'] == 0
    assert figures['found'] == figures['made'] == {'cameras swapped': 200, 'another scene': 200}
    assert figures['ok']


@pytest.mark.parametrize('gain', [0.6, 0.8, 1.25, 1.5])
def test_brighter_or_darker_picture_is_no_cut(episodes, gain):
    for episode in episodes:
        frame = episode[0]
        lit = np.clip(frame * gain, 0, 255).astype(np.uint8)
        assert not told(frame, lit) and not told(lit, frame)


@pytest.mark.parametrize('colour', [(12, 12, 12), (255, 255, 255), (200, 30, 30), (40, 40, 200)])
def test_picture_of_one_colour_is_a_cut_and_so_is_its_end(episodes, colour):
    for episode in episodes:
        for camera in (0, 1):
            frame = episode[1, [camera]]
            covered = np.broadcast_to(np.uint8(colour), frame.shape).copy()
            assert told(frame, covered) and told(covered, frame)


@pytest.mark.parametrize('right, down', [(6, 0), (20, -10), (-28, 28)])
def test_texture_that_moves_is_no_cut(right, down):
    assert not told(view(), view(right, down))


def test_one_camera_of_two_is_enough(episodes):
    one, other = episodes[0][0], episodes[1][0]
    assert not told(one, one)
    assert told(one, np.stack([one[0], other[1]]))
