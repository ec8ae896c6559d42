# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was exported is read back: the observations of the bag, and the same actions on them."""

from bag_samples import write_bag
from export_samples import exported
from export_samples import plain
from export_samples import PNG
import numpy as np
import pytest
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk as walk_bag
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.export import Export
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.walk import walk as walk_data
from vla_cache_ros.policy import Policy

CADENCE = Cadence(0.4)
STATE = 8


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Return a bag of two seconds, at whose rate it is exported."""
    return write_bag(tmp_path_factory.mktemp('bag') / 'bag', plain(size=96))


def back(out):
    """Return the observations of a data set."""
    data = DataSet(out)
    keys = DataSetKeys().fitted(out, data.info, 2, (), STATE)
    found = list(walk_data(data, keys, CADENCE, ahead=4))
    assert data.damage == ''
    return found


def acted(steps):
    """Return the actions of a policy with a cache along observations."""
    policy = Policy.from_pretrained('tabletop', gate='motion', reuse=0.5)
    policy.reset()
    return np.stack([policy.act(step.observation)[0].actions for step in steps])


def test_without_loss_observations_and_actions_are_those_of_the_bag(bag, tmp_path):
    exported(bag, tmp_path / 'out', PNG)
    steps, read = list(walk_bag(Bag(bag), BagTopics(), CADENCE)), back(tmp_path / 'out')
    assert len(steps) == len(read) == 5
    for step, other in zip(steps, read, strict=True):
        pairs = zip(step.observation.images, other.observation.images, strict=True)
        assert all(np.array_equal(*pair) for pair in pairs)
        assert np.array_equal(step.observation.proprio, other.observation.proprio)
        assert step.observation.instruction == other.observation.instruction
        assert step.stamp - steps[0].stamp == other.stamp - read[0].stamp
    assert np.array_equal(acted(steps), acted(read))


def test_recorded_actions_are_what_was_commanded(bag, tmp_path):
    exported(bag, tmp_path / 'out', PNG)
    for index, step in enumerate(back(tmp_path / 'out')):
        assert step.actions[:, 0] == pytest.approx(0.01 * np.arange(4 * index, 4 * index + 4))


def test_as_video_pictures_are_near_and_so_are_actions(bag, tmp_path):
    exported(bag, tmp_path / 'out', Export())
    steps, read = list(walk_bag(Bag(bag), BagTopics(), CADENCE)), back(tmp_path / 'out')
    far = []
    for step, other in zip(steps, read, strict=True):
        pairs = zip(step.observation.images, other.observation.images, strict=True)
        far += [np.abs(one.astype(int) - two).mean() for one, two in pairs]
        assert np.array_equal(step.observation.proprio, other.observation.proprio)
    assert 0 < max(far) < 3  # of 255: smooth pictures
    mine, theirs = acted(steps), acted(read)
    assert 0 < np.abs(mine - theirs)[..., :6].max() < 0.01  # m, rad, a step
