# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bags become recordings: which frames, in which episodes, once, and what is said of bad ones."""

from dataclasses import replace

from bag_samples import MS
from bag_samples import picture
from bag_samples import recording
from bag_samples import shade
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
import numpy as np
import pytest
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.training import bag_recordings as module
from vla_cache_ros.training.bag_recordings import BagSource
from vla_cache_ros.training.bag_recordings import facts_of
from vla_cache_ros.training.bag_recordings import record_bags
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.lerobot.letterbox import LetterboxPath

SECONDS = 2  # of an episode
WORDS = ('pick', 'put', 'push', 'lift', 'turn')


def corrected_bag(folder, episodes):
    """Write a bag in whose every episode a person has the arm from 0.8 s to 1.2 s."""
    messages = recording(seconds=float(SECONDS * episodes))
    for index in range(episodes):
        for ms, who in ((-1, 'policy'), (800, 'person'), (1200, 'policy')):
            time = START + (SECONDS * index * 1000 + ms) * MS
            messages.append((time, '/vla_node/control_mode', string(f'{{"control": "{who}"}}')))
            if ms < 0:
                messages.append((time, '/instruction', string(WORDS[index])))
    return write_bag(folder, sorted(messages, key=lambda message: message[0]))


def bag_of(folder, episodes, **options):
    """Write a bag in which another instruction is given every SECONDS; return the folder."""
    messages = recording(seconds=float(SECONDS * episodes), instruction=WORDS[0], **options)
    for index in range(1, episodes):
        stamp = START + SECONDS * index * 1000 * MS - MS
        messages.append((stamp, '/instruction', string(WORDS[index])))
    return write_bag(folder, sorted(messages, key=lambda message: message[0]))


def source_of(*bags, offsets=2, **topics):
    return BagSource(bags, BagTopics(**topics), Cadence(period=0.4), offsets)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return bag_of(tmp_path_factory.mktemp('bags') / 'four', 4)


def test_an_episode_is_wholly_trained_on_or_wholly_held_out(bag, tmp_path):
    recordings = Recordings(record_bags(source_of(bag), 2, True, tmp_path), held_out=1)
    table = recordings.frames.table
    training, held_out = map(np.concatenate, (recordings.training, recordings.held_out))
    assert set(table['episode'][held_out]) == {3}
    assert set(table['offset'][held_out]) == {0, 1}
    assert set(table['episode'][training]) == {0, 1, 2}
    assert (recordings.episodes, recordings.held_out_episodes) == (3, 1)
    assert {recordings.instruction(frame) for frame in held_out} == {'lift'}
    assert recordings.instructions() == sorted(WORDS[:4])


def test_a_recording_is_one_walk_through_one_episode_at_the_rate_of_inferences(bag, tmp_path):
    recordings = Recordings(record_bags(source_of(bag), 2, True, tmp_path), held_out=1)
    table = recordings.frames.table
    begins = {0: [], 1: []}  # by walk, ns
    for run in (*recordings.training, *recordings.held_out):
        assert len(set(table['episode'][run])) == 1
        (offset,) = set(table['offset'][run])
        assert np.diff(table['stamp'][run]) == pytest.approx(400 * MS, abs=60 * MS)
        begins[offset].append(table['stamp'][run[0]])
    assert len(begins[0]) == len(begins[1]) == 4
    later = np.sort(begins[1]) - np.sort(begins[0])
    assert later == pytest.approx(200 * MS, abs=60 * MS)


def test_frames_are_what_the_policy_would_have_seen(bag, tmp_path):
    frames = Recordings(record_bags(source_of(bag), 2, True, tmp_path), held_out=1).frames
    rows = np.arange(len(frames))
    images = frames.images(rows)
    assert images.shape[1:] == (2, 224, 224, 3)
    for row in rows[::5]:
        value = shade(int(frames.table['stamp'][row] - START) // MS)
        assert np.array_equal(images[row, 0], ImagePath()(picture(value)))
    assert frames.table['proprio'].shape == (len(frames), 8)
    assert len(np.unique(frames.table['proprio'][:, 0])) > 5  # the arm moves along x


@pytest.mark.parametrize(
    ('corrections', 'episodes', 'persons'),
    [('use', 3, {False, True}), ('leave-out', 6, {False}), ('only', 3, {True})],
)
def test_corrections_are_learned_from_as_asked(tmp_path, corrections, episodes, persons):
    bag = corrected_bag(tmp_path / 'bag', 3)
    source = replace(source_of(bag, corrections=corrections), cadence=Cadence(period=0.1))
    (folder,) = record_bags(source, 2, True, tmp_path / 'out')
    assert facts_of(folder)['episodes'] == episodes
    recordings = Recordings([folder], held_out=1)
    into = (recordings.frames.table['stamp'] - START) // MS % (1000 * SECONDS)
    assert set((into >= 800) & (into < 1200)) == persons
    for run in (*recordings.training, *recordings.held_out):  # no leap over what was left out
        assert np.diff(recordings.frames.table['stamp'][run]).max() < 200 * MS


def test_frames_have_the_image_path_behind_them_and_another_path_is_another_recording(
    bag, tmp_path
):
    paths = ImagePath(rotation=180), ImagePath(center_crop=0.5)
    source = replace(source_of(bag), paths=paths)
    frames = Recordings(record_bags(source, 2, True, tmp_path), held_out=1).frames
    value = shade(int(frames.table['stamp'][0] - START) // MS)
    for camera, path in enumerate(paths):
        assert np.array_equal(frames.images([0])[0, camera], path(picture(value)))
    assert frames.images([0])[0, 0, -1, -1, 0] > 200  # the corner that is bright
    with pytest.raises(ValueError, match='found one that differs in image_path: choose'):
        record_bags(source_of(bag), 2, True, tmp_path)


def test_a_second_start_reads_no_bag_and_gives_the_same(bag, tmp_path, monkeypatch):
    first = Recordings(record_bags(source_of(bag), 2, True, tmp_path), held_out=1)
    monkeypatch.setattr(module, 'Bag', None)
    again = Recordings(record_bags(source_of(bag), 2, True, tmp_path), held_out=1)
    assert again.digest == first.digest


def test_a_recording_that_was_interrupted_is_made_anew(bag, tmp_path):
    (folder,) = record_bags(source_of(bag), 2, True, tmp_path)
    frames = facts_of(folder)['frames']
    (folder / 'recorded.json').unlink()
    (folder / '0007.npz').write_bytes(b'a half')
    record_bags(source_of(bag), 2, True, tmp_path)
    assert len(Recordings([folder], held_out=1).frames) == frames


def test_shards_of_other_options_are_refused(bag, tmp_path):
    record_bags(source_of(bag), 2, True, tmp_path)
    with pytest.raises(ValueError, match='found one that differs in offsets: choose'):
        record_bags(source_of(bag, offsets=3), 2, True, tmp_path)


def test_episodes_of_two_bags_are_told_apart(bag, tmp_path):
    other = bag_of(tmp_path / 'two', 2)
    folders = record_bags(source_of(bag, other), 2, True, tmp_path / 'out')
    recordings = Recordings(folders, held_out=2)
    assert recordings.episodes == 4
    held_out = {recordings.instruction(run[0]) for run in recordings.held_out}
    assert held_out == {'pick', 'put'}  # the last bag


def test_other_moments_of_the_same_bag_are_other_recordings(bag, tmp_path):
    a = record_bags(source_of(bag), 2, True, tmp_path / 'a')
    b = record_bags(source_of(bag, offsets=3), 2, True, tmp_path / 'b')
    assert Recordings(a, 1).digest != Recordings(b, 1).digest


def test_of_a_damaged_bag_the_readable_part_is_used_and_the_damage_is_said(tmp_path, capsys):
    bag = bag_of(tmp_path / 'cut', 5)
    whole = record_bags(source_of(bag), 2, True, tmp_path / 'whole')
    (file,) = bag.glob('*.mcap*')
    content = file.read_bytes()
    file.write_bytes(content[: round(0.65 * len(content))])
    cut = record_bags(source_of(bag), 2, True, tmp_path / 'out')
    assert 0 < facts_of(cut[0])['frames'] < facts_of(whole[0])['frames']
    assert facts_of(cut[0])['damage'] and not facts_of(whole[0])['damage']
    assert 'DAMAGED, the readable part is used' in capsys.readouterr().out


def test_too_few_episodes_are_counted_and_refused(tmp_path):
    bag = bag_of(tmp_path / 'two', 2)
    with pytest.raises(ValueError, match=r'at least 3 episodes .* found 2 \(0 were shorter\)'):
        record_bags(source_of(bag), 2, True, tmp_path / 'out')


def test_a_bag_without_an_observation_says_why(bag, tmp_path, capsys):
    silent = write_bag(tmp_path / 'silent', [m for m in recording(2.0) if 'wrist' not in m[1]])
    source = source_of(bag, silent, images=('/image_raw', '/wrist/image_raw'))
    with pytest.raises(ValueError, match='/wrist/image_raw'):
        record_bags(source, 2, True, tmp_path / 'out')
    late = [m for m in recording(2.0) if m[1] != '/instruction']
    late.append((START + 4000 * MS, '/instruction', string('too late')))
    folders = record_bags(source_of(bag, write_bag(tmp_path / 'late', late)), 2, True, tmp_path)
    assert facts_of(folders[1])['frames'] == 0
    assert 'no observation could be made: waiting for a message' in capsys.readouterr().out
    assert Recordings(folders, 1).episodes == 3


def test_the_model_says_how_many_cameras_are_needed(bag, tmp_path):
    with pytest.raises(ValueError, match='--image-topic: expected 2, .* got /image_raw'):
        record_bags(source_of(bag, images=('/image_raw',)), 2, True, tmp_path)
    (folder,) = record_bags(source_of(bag), 1, True, tmp_path)  # the usual names are cut
    assert Recordings([folder], 1).frames.images(np.arange(1)).shape[1] == 1


def test_a_model_without_a_robot_state_needs_none_in_the_bag(tmp_path):
    messages = [m for m in recording(6.0) if 'joint' not in m[1] and 'pose' not in m[1]]
    messages += [(START + 1990 * MS, '/instruction', string('a'))]
    messages += [(START + 3990 * MS, '/instruction', string('b'))]
    bag = write_bag(tmp_path / 'seen', sorted(messages, key=lambda message: message[0]))
    with pytest.raises(ValueError, match='--joint-topic'):
        record_bags(source_of(bag), 2, True, tmp_path / 'out')
    recordings = Recordings(record_bags(source_of(bag), 2, False, tmp_path / 'out'), 1)
    assert recordings.proprio(0) is None
    assert recordings.episodes == 2


def test_a_bag_is_named_once(bag):
    with pytest.raises(ValueError, match='each bag once'):
        source_of(bag, bag)


def test_letterboxed_squares_are_kept_at_the_towers_size(bag, tmp_path):
    source = replace(source_of(bag), paths=(LetterboxPath(512, corner=True),))
    folders = record_bags(source, 2, True, tmp_path)
    images = Recordings(folders).frames.images(np.array([0, 1]))
    assert images.shape == (2, 2, 512, 512, 3) and images.dtype == np.uint8
    facts = facts_of(folders[0])
    assert facts['image_path'] == {'size': 512, 'corner': True, 'rotation': 0}
