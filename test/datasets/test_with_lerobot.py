# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""lerobot itself opens an export, and reads what we do of it and of what it writes."""

from bag_samples import MS
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
from export_samples import exported
from export_samples import in_time
from export_samples import plain
from export_samples import PNG
from export_samples import rows
import numpy as np
import pytest
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.export import Export
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.walk import walk

pytest.importorskip('lerobot', reason='needs an environment with LeRobot: make test-lerobot')

FPS = 10
CAMERAS = 'observation.images.front', 'observation.images.wrist'


def opened(folder, **options):
    """Return a data set as lerobot opens it, without a network."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset('ours/here', root=folder, video_backend='pyav', **options)


def ours(folder, state):
    """Return all frames as we read them."""
    data = DataSet(folder)
    keys = DataSetKeys().fitted(folder, data.info, 2, (), state)
    found = list(walk(data, keys, Cadence(1 / data.info.fps), ahead=1))
    assert data.damage == ''
    return found


def picture(tensor):
    """Return a picture of lerobot as uint8 [H, W, 3]."""
    return (tensor.numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)


def same(folder, state):
    """Assert that both read the same pictures, states, actions and tasks; return how many."""
    theirs, mine = opened(folder), ours(folder, state)
    assert len(theirs) == len(mine)
    for index, step in enumerate(mine):
        item = theirs[index]
        for name, image in zip(CAMERAS, step.observation.images, strict=True):
            assert np.array_equal(picture(item[name]), image)
        assert np.array_equal(item['observation.state'].numpy(), step.observation.proprio)
        assert np.array_equal(item['action'].numpy(), step.actions[0])
        assert item['task'] == step.observation.instruction
    return len(mine)


@pytest.fixture(scope='module', params=['video', 'png'])
def folder(request, tmp_path_factory):
    """Return an export of two bags, one of two tasks, both ways."""
    here = tmp_path_factory.mktemp(request.param)
    second = [*plain(seed=1), (START + 1010 * MS, '/instruction', string('push it'))]
    bags = [write_bag(here / 'bag0', plain()), write_bag(here / 'bag1', in_time(second))]
    exported(bags, here / 'out', Export() if request.param == 'video' else PNG)
    return here / 'out'


def test_lerobot_reads_of_an_export_what_we_do(folder):
    assert same(folder, 8) > 35
    data = opened(folder)
    assert data.meta.total_episodes == 3 and data.meta.fps == FPS
    assert list(data.meta.tasks.index) == ['pick up the red cube', 'push it']
    assert data.meta.features['action']['names'][-1] == 'gripper'


def test_lerobot_takes_windows_of_actions_out_of_an_export(folder):
    data = opened(folder, delta_timestamps={'action': [0, 0.1, 0.2]})
    stored = rows(folder)
    for index in (0, 5, 18, 19, 20):
        item, episode = data[index], stored[index]['episode_index']
        own = [row['action'] for row in stored if row['episode_index'] == episode]
        frame = stored[index]['frame_index']
        window = [own[min(frame + ahead, len(own) - 1)] for ahead in range(3)]
        assert np.allclose(item['action'].numpy(), window)
        padding = [frame + ahead >= len(own) for ahead in range(3)]
        assert item['action_is_pad'].tolist() == padding


def test_lerobot_makes_features_of_a_policy_and_its_statistics(folder):
    from lerobot.utils.feature_utils import dataset_to_policy_features

    data = opened(folder)
    made = dataset_to_policy_features(data.meta.features)
    assert set(made) == {'action', 'observation.state', *CAMERAS}
    assert made[CAMERAS[0]].shape == (3, 48, 48)
    values = np.array([row['action'] for row in rows(folder)])
    assert np.allclose(data.meta.stats['action']['mean'], values.mean(axis=0), atol=1e-5)
    assert data.meta.stats[CAMERAS[1]]['std'].shape == (3, 1, 1)


def test_lerobot_selects_episodes_of_an_export(folder):
    data = opened(folder, episodes=[1])
    assert {int(data[index]['episode_index']) for index in range(len(data))} == {1}


@pytest.mark.parametrize('videos', [True, False])
def test_we_read_what_lerobot_writes(tmp_path, videos):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    kind = 'video' if videos else 'image'
    pictures = {'dtype': kind, 'shape': (64, 96, 3), 'names': ['height', 'width', 'channels']}
    numbers = {'dtype': 'float32', 'shape': (4,), 'names': list('abcd')}
    features = {
        **dict.fromkeys(CAMERAS, pictures), 'observation.state': numbers, 'action': numbers,
    }  # fmt: skip
    made = LeRobotDataset.create(
        'ours/there', FPS, features, root=tmp_path / 'out', use_videos=videos
    )
    rng, y = np.random.default_rng(0), np.arange(64)[:, None, None]
    for episode, length in enumerate((7, 5)):
        for index in range(length):
            rgb = 127 + 100 * np.sin(y / 9 + np.arange(96)[:, None] / 7 + np.arange(3) + index / 3)
            frame = dict.fromkeys(CAMERAS, rgb.astype(np.uint8))
            for name in ('observation.state', 'action'):
                frame[name] = rng.normal(size=4).astype(np.float32)
            made.add_frame({**frame, 'task': f'task {episode}'})
        made.save_episode()
    made.finalize()
    assert same(tmp_path / 'out', 4) == 12
