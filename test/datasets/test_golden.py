# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A data set that lerobot wrote is read as lerobot reads it: AV1 videos, vectors, times, tasks."""

import json

import imageio_ffmpeg
import numpy as np
import pytest
from small_data_sets import GOLDEN
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.keys import number_names
from vla_cache_ros.datasets.walk import walk

CAMERAS = ('observation.images.front', 'observation.images.wrist')


@pytest.fixture(scope='module')
def steps():
    return list(walk(DataSet(GOLDEN), DataSetKeys(images=CAMERAS), Cadence(0.1), ahead=3))


@pytest.fixture(scope='module')
def expected():
    return np.load(GOLDEN / 'expected.npz', allow_pickle=False)


def test_every_frame_of_every_episode_is_there_once_and_in_order(steps):
    assert len(steps) == 71
    assert np.bincount([step.episode for step in steps]).tolist() == [23, 17, 31]
    assert [step.source for step in steps[22:24]] == [
        'episode 0, frame 22',
        'episode 1, frame 0',
    ]
    assert np.diff([step.stamp for step in steps]) == pytest.approx(10**8)


def test_every_frame_equals_the_one_of_a_decoder_that_never_seeks(steps):
    for camera, name in enumerate(CAMERAS):
        path = GOLDEN / f'videos/{name}/chunk-000/file-000.mp4'
        frames = imageio_ffmpeg.read_frames(str(path), pix_fmt='rgb24')
        assert next(frames)['source_size'] == (128, 96)
        whole = [np.frombuffer(data, np.uint8).reshape(96, 128, 3) for data in frames]
        assert len(whole) == len(steps)
        for step, image in zip(steps, whole, strict=True):
            assert np.array_equal(step.observation.images[camera], image)


@pytest.mark.parametrize('index', [0, 1, 22, 23, 39, 40, 70])
def test_a_frame_is_what_lerobot_reads(steps, expected, index):
    assert index in expected['index']
    step = steps[index]
    for image, name in zip(step.observation.images, ('front', 'wrist'), strict=True):
        assert np.array_equal(image, expected[f'{name}_{index}'])
    assert np.array_equal(step.observation.proprio, expected[f'state_{index}'])
    assert np.array_equal(step.actions[0], expected[f'action_{index}'])
    frame = int(step.source.rpartition(' ')[2])
    assert frame / 10 == pytest.approx(float(expected[f'timestamp_{index}']), abs=1e-6)


def test_expected_frames_are_all_compared(expected):
    assert expected['index'].tolist() == [0, 1, 22, 23, 39, 40, 70]


def test_a_step_has_the_recorded_actions_from_its_frame_to_the_end_of_the_episode(steps):
    assert [len(steps[index].actions) for index in (0, 20, 21, 22, 23)] == [3, 3, 2, 1, 3]
    assert np.array_equal(steps[4].actions[1:], steps[5].actions[:2])


def test_tasks_are_the_instructions(steps):
    words = {step.episode: step.observation.instruction for step in steps}
    assert words[0] == words[2] == 'pick up the red cube'
    assert words[1] == 'put the bowl on the plate'


def test_what_is_stated_is_read_and_written_alike():
    info = read_info(GOLDEN)
    assert (info.fps, info.total_frames, info.robot_type) == (10, 71, 'so101_follower')
    assert info.cameras == CAMERAS
    assert number_names(info.features['action'])[-1] == 'gripper'
    assert info.as_json() == json.loads((GOLDEN / 'meta/info.json').read_text())
