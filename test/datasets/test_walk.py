# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A walk through a data set: which frames, in which episodes, from videos and from pictures."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from small_data_sets import picture
from small_data_sets import shade
from small_data_sets import write_data_set
from small_data_sets import write_mp4
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.cadence import cadence_note
from vla_cache_ros.datasets.cadence import offset_frames
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.layout import CORRECTION
from vla_cache_ros.datasets.videos import check_part
from vla_cache_ros.datasets.videos import Part
from vla_cache_ros.datasets.videos import pictures
from vla_cache_ros.datasets.walk import walk

CAMERAS = ('observation.images.front', 'observation.images.wrist')
KEYS = DataSetKeys(images=CAMERAS)


def steps_of(folder, period=0.1, keys=KEYS, offset=0.0, **options):
    return list(walk(DataSet(folder), keys, Cadence(period, offset), **options))


def places(steps):
    """Return episode and frame of each step, as its state tells them."""
    return [divmod(round(float(step.observation.proprio[0])), 100) for step in steps]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp('sets') / 'video')


@pytest.mark.parametrize('video', [True, False])
@pytest.mark.parametrize('files', [1, 2])
def test_pictures_and_vectors_belong_together_whatever_they_are_kept_in(tmp_path, video, files):
    steps = steps_of(write_data_set(tmp_path, video=video, files=files), 0.2)
    assert len(steps) == 4 + 3 + 4
    for step, (episode, frame) in zip(steps, places(steps), strict=True):
        front, wrist = step.observation.images
        off = 6 if video else 0  # of a video, whose colours are rounded
        assert front[..., 0].mean() == pytest.approx(shade(episode, frame), abs=off)
        assert front[..., 2].mean() == pytest.approx(200, abs=off)
        assert wrist[..., 2].mean() == pytest.approx(140, abs=off)
        assert step.observation.instruction == f'task {episode % 2}'
        assert step.episode == episode
        assert front.shape == (48, 64, 3) and front.flags.writeable


def test_every_nth_frame_is_observed_from_an_offset_on(folder):
    assert places(steps_of(folder, 0.3))[:3] == [(0, 0), (0, 3), (0, 6)]
    later = places(steps_of(folder, 0.3, offset=0.1))
    assert later == [(0, 1), (0, 4), (0, 7), (1, 1), (1, 4), (2, 1), (2, 4)]
    assert places(steps_of(folder, 0.3, offset=0.6))[-1] == (2, 6)


def test_an_offset_beyond_an_episode_leaves_it_out(folder):
    assert places(steps_of(folder, 0.3, offset=0.7)) == [(0, 7)]


def test_stamps_are_those_of_the_whole_data_set(folder):
    steps = steps_of(folder, 0.4)
    assert [step.stamp // 10**8 for step in steps] == [0, 4, 8, 12, 14, 18]
    assert all(step.time == step.stamp for step in steps)


def test_some_episodes_alone_can_be_walked_through(folder):
    found = steps_of(folder, episodes=[1])
    assert {episode for episode, _ in places(found)} == {1} and len(found) == 6


@pytest.mark.parametrize(
    ('period', 'fps', 'frames', 'said'),
    [
        (0.4, 10, 4, ''),
        (4 / 30, 30, 4, ''),
        (0.4, 12, 5, 'got 0.4 s (4.80 frames); every 5. frame is used, 0.4167 s'),
        (0.01, 10, 1, 'every frame is used, 0.1 s'),
    ],
)
def test_a_period_that_is_no_whole_number_of_frames_says_what_is_used(period, fps, frames, said):
    assert offset_frames(Cadence(period, frames / fps), fps, 1) == [frames]
    note = cadence_note(Cadence(period), fps)
    assert note.endswith(said) and bool(note) == bool(said)


def test_such_a_note_is_made_once_however_often_it_is_walked_through(folder):
    notes = Counter()
    for _ in range(2):
        steps_of(folder, 0.25, notes=notes)
    assert [(count, 'whole number of frames' in note) for note, count in notes.items()] == [
        (1, True)
    ]


def test_walks_begin_at_different_frames_and_are_no_more_than_there_are():
    assert offset_frames(Cadence(0.4), 10, 4) == [0, 1, 2, 3]
    assert offset_frames(Cadence(0.4), 10, 3) == [0, 1, 2]
    assert offset_frames(Cadence(0.2), 10, 4) == [0, 1]
    assert offset_frames(Cadence(1.0), 30, 4) == [0, 7, 15, 22]


def test_a_task_that_changes_within_an_episode_begins_another(tmp_path):
    def change(parts):
        tasks = np.array(parts['columns']['task_index'])
        tasks[4:8] = 1
        parts['columns']['task_index'] = pa.array(tasks)

    steps = steps_of(write_data_set(tmp_path, change=change), 0.3)
    assert places(steps)[:5] == [(0, 0), (0, 3), (0, 4), (0, 7), (1, 0)]
    assert [step.episode for step in steps[:5]] == [0, 0, 1, 1, 2]
    assert [step.observation.instruction for step in steps[1:3]] == ['task 0', 'task 1']
    shades = [step.observation.images[0][..., 0].mean() for step in steps[:4]]
    assert shades == pytest.approx([shade(0, frame) for frame in (0, 3, 4, 7)], abs=6)
    one = steps_of(tmp_path, 0.3, DataSetKeys(images=CAMERAS, text='do it'))
    assert places(one)[:4] == [(0, 0), (0, 3), (0, 6), (1, 0)]
    assert {step.observation.instruction for step in one} == {'do it'}


@pytest.mark.parametrize(
    ('choice', 'frames', 'episodes'),
    [
        ('use', [0, 1, 2, 3, 4, 5, 6, 7], 1),
        ('leave-out', [0, 1, 5, 6, 7], 2),
        ('only', [2, 3, 4], 1),
    ],
)
def test_corrections_are_used_or_left_out_as_asked(tmp_path, choice, frames, episodes):
    def change(parts):
        person = np.zeros(21, bool)
        person[2:5] = True
        parts['columns'][CORRECTION] = pa.array(person)
        parts['info']['features'][CORRECTION] = {'dtype': 'bool', 'shape': [1], 'names': None}

    folder = write_data_set(tmp_path, change=change)
    keys = DataSetKeys(images=CAMERAS, corrections=choice)
    steps = steps_of(folder, keys=keys, episodes=[0])
    assert [frame for _, frame in places(steps)] == frames
    assert len({step.episode for step in steps}) == episodes
    assert [frame for (_, frame), s in zip(places(steps), steps, strict=True) if s.correction] == [
        frame for frame in frames if 2 <= frame < 5
    ]


def test_black_pictures_and_states_without_numbers_make_no_observation(tmp_path):
    def change(parts):
        states = np.array(parts['columns']['observation.state'].to_pylist(), np.float32)
        states[3] = np.nan
        flat = pa.array(states.ravel())
        parts['columns']['observation.state'] = pa.FixedSizeListArray.from_arrays(flat, 6)

    folder = write_data_set(tmp_path, change=change)
    video = folder / 'videos/observation.images.wrist/chunk-000/file-000.mp4'
    frames = [picture(0, 0) for _ in range(21)]
    frames[10] = np.zeros_like(frames[0])
    write_mp4(video, frames, 10)
    notes = Counter()
    found = places(steps_of(folder, notes=notes))
    assert len(found) == 19 and (0, 3) not in found and (1, 2) not in found
    assert notes['observation.state: expected finite numbers'] == 1
    assert notes['observation.images.wrist: expected a picture, got an all-black frame'] == 1


@pytest.mark.parametrize(
    'codec', [('libx264', '-bf', '3', '-g', '250'), ('libx264', '-g', '2'), ('mpeg4',)]
)
def test_a_part_begins_with_its_very_frame_whatever_the_key_frames(tmp_path, codec):
    video = tmp_path / 'video.mp4'
    write_mp4(video, [picture(0, 2 * index) for index in range(21)], 10, codec)
    whole = list(pictures(Part(video, 0.0, 21, 10), 48, 64))
    levels = [image[..., 0].mean() for image in whole]
    assert len(levels) == 21 and np.diff(levels) == pytest.approx(8, abs=3)
    for first in range(21):
        part = Part(video, first / 10, min(3, 21 - first), 10)
        check_part(part, 48, 64)
        found = list(pictures(part, 48, 64))
        assert len(found) == part.count
        for image, expected in zip(found, whole[first:], strict=False):
            assert np.array_equal(image, expected)
