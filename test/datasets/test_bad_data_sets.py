# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set is told in one line; one bad episode stops no other."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_data_sets import GOLDEN
from small_data_sets import picture
from small_data_sets import write_data_set
from small_data_sets import write_mp4
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.keys import check_actions
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.keys import number_names
from vla_cache_ros.datasets.layout import Feature
from vla_cache_ros.datasets.layout import file_path
from vla_cache_ros.datasets.walk import walk

CAMERAS = ('observation.images.front', 'observation.images.wrist')
KEYS = DataSetKeys(images=CAMERAS)
VIDEO = 'videos/observation.images.front/chunk-000/file-000.mp4'
DATA = 'data/chunk-000/file-000.parquet'


def said(call, *arguments):
    """Return the one line that a call raises."""
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call(*arguments)
    text = str(error.value)
    assert '\n' not in text and len(text) < 700
    return text


def edit_info(folder, **changes):
    path = folder / 'meta/info.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_table(path, change):
    pq.write_table(change(pq.read_table(path)), path)


def noise(count):
    """Return pictures that take about as many bytes each."""
    return list(np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8))


def survivors(folder, keys=KEYS, period=0.1):
    """Return the episodes whose observations come, and what is said of the others."""
    data = DataSet(folder)
    found = {}
    for walked in range(2):  # what is said is said once, however often it is walked through
        for step in walk(data, keys, Cadence(period)):
            found.setdefault(step.source.partition(',')[0], set()).add((walked, step.stamp))
    assert '\n' not in data.damage
    return sorted(found), data.damage


@pytest.fixture
def folder(tmp_path):
    return write_data_set(tmp_path / 'set')


@pytest.fixture
def parts(tmp_path):
    """Return a data set whose three episodes are in files of their own."""
    return write_data_set(tmp_path / 'set', files=3)


@pytest.mark.parametrize('version', ['v2.0', 'v2.1', '1.6'])
def test_an_older_version_is_named_with_lerobots_converter(folder, version):
    edit_info(folder, codebase_version=version)
    text = said(read_info, folder)
    assert f'expected a LeRobotDataset v3.0, got {version}' in text
    assert 'python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=set' in text
    assert f'--root={folder}' in text and ('takes v2.1' in text) == (version != 'v2.1')


@pytest.mark.parametrize('version', ['v3.1', 'v4.0', None, 3])
def test_a_newer_or_no_version_is_refused(folder, version):
    edit_info(folder, codebase_version=version)
    text = said(read_info, folder)
    assert 'expected a LeRobotDataset v3.0, got ' in text and 'convert' not in text


def test_a_folder_that_is_none_is_told_from_one_with_data_sets_in_it(folder, tmp_path):
    assert 'there are data sets in it, such as' in said(read_info, folder.parent)
    assert 'with meta/info.json, got another' in said(read_info, folder / 'data')
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'metadata.yaml').touch()
    assert 'this is a bag: --bag reads it' in said(read_info, tmp_path / 'bag')
    assert 'got another' in said(read_info, folder / 'meta/info.json')


def test_a_hub_id_is_not_downloaded_but_told_how_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = said(read_info, 'lerobot/pusht')
    assert 'hf download lerobot/pusht --repo-type dataset --local-dir DIR' in text
    assert 'hf download' not in said(read_info, tmp_path / 'nothing')


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({'fps': 0}, 'fps: expected more than 0, to 1000 frames a second, got 0'),
        ({'fps': 10**30}, 'got 1e20 or beyond'),
        ({'fps': '10'}, "got '10'"),
        ({'fps': float('nan')}, 'got nan'),
        ({'features': []}, 'features: expected 1 to 1000 of them by name'),
        ({'features': {str(i): {} for i in range(2000)}}, 'got 2000 of them'),
        ({'features': {'x': {'dtype': 'object', 'shape': [1]}}}, "got 'object'"),
        ({'features': {'x': {'dtype': 'video', 'shape': [10**6, 10**6, 3]}}}, 'at most'),
        ({'features': {'x': {'dtype': 'float32', 'shape': [10**400]}}}, 'expected at most 4096'),
        ({'features': {'x': {'dtype': 'float32', 'shape': [-1]}}}, 'expected whole numbers'),
        ({'features': {'x': {'dtype': 'float32', 'shape': 'six'}}}, "got 'six'"),
        ({'total_frames': -1}, 'total_frames: expected a whole number'),
        ({'total_episodes': 10**40}, 'got 1e20 or beyond'),
        ({'data_path': '../{chunk_index}.parquet'}, 'data_path: '),
        ({'video_path': '/etc/{video_key}'}, "'/etc/camera': expected a path within"),
        ({'video_path': 'a/{video_key.__class__}'}, 'expected a path of chunk_index'),
        ({'video_path': 'a/{chunk_index:0999999999d}'}, 'expected a path of chunk_index'),
        ({'video_path': 'a/{0}'}, 'expected a path of chunk_index'),
        ({'video_path': 'a/{chunk_index'}, 'video_path: '),
        ({'data_path': 7}, 'data_path: expected a path, got 7'),
    ],
)
def test_claims_that_cannot_be_are_refused_by_name(folder, changes, expected):
    edit_info(folder, **changes)
    text = said(read_info, folder)
    assert expected in text and text.startswith(f'{folder / "meta/info.json"}: ')


@pytest.mark.parametrize('text', ['{', '[]', '"v3.0"', '[' * 100_000, 'ÿ'])
def test_text_that_is_no_object_is_refused(folder, text):
    (folder / 'meta/info.json').write_bytes(text.encode('latin1'))
    assert 'info.json: expected' in said(read_info, folder)


def test_a_file_that_is_too_large_is_not_read(folder):
    with (folder / 'meta/info.json').open('ab') as file:
        file.truncate(2**32)
    assert 'expected at most 4194304 bytes' in said(read_info, folder)


def test_a_camera_cannot_lead_out_of_the_folder(folder):
    with pytest.raises(ValueError, match='expected a path within'):
        file_path(folder, 'videos/{video_key}/{file_index}.mp4', 0, 0, '../../etc')


def test_totals_that_do_not_fit_are_noted_and_the_tables_believed(folder):
    edit_info(folder, total_episodes=10**15, total_frames=10**15)
    notes = {}
    assert len(list(walk(DataSet(folder), KEYS, Cadence(0.1), notes))) == 21
    assert list(notes) == [f'info.json: total_episodes: {10**15}, its tables list 3']


@pytest.mark.parametrize('damage', ['none', 'empty', 'garbage', 'no files'])
def test_without_a_table_of_episodes_nothing_can_be_read(folder, damage):
    path = folder / 'meta/episodes/chunk-000/file-000.parquet'
    if damage == 'empty':
        edit_table(path, lambda table: table.slice(0, 0))
    elif damage == 'garbage':
        path.write_bytes(b'PAR1' + bytes(100) + b'PAR1')
    elif damage == 'none':
        edit_table(path, lambda table: table.drop_columns(['length', 'data/file_index']))
    else:
        path.unlink()
    text = said(DataSet(folder).episodes)
    expected = {
        'empty': 'expected at least one episode, the data set is empty',
        'garbage': f'{path}: expected a parquet file, got ',
        'none': f'{path}: expected the columns length, data/file_index; there are episode_index',
        'no files': 'expected meta/episodes/chunk-*/file-*.parquet',
    }
    assert expected[damage] in text


def test_a_missing_column_is_named_with_its_file_and_stops_no_other_file(parts):
    path = parts / 'data/chunk-000/file-001.parquet'
    edit_table(path, lambda table: table.drop_columns(['observation.state', 'timestamp']))
    found, damage = survivors(parts)
    assert found == ['episode 0', 'episode 2']
    assert damage.startswith('episode 1 left out: data/chunk-000/file-001.parquet: expected the ')
    assert 'columns timestamp, observation.state; there are ' in damage


def test_a_file_that_is_gone_costs_its_episodes_and_is_told_once(parts):
    (parts / 'data/chunk-000/file-002.parquet').unlink()
    found, damage = survivors(parts)
    assert found == ['episode 0', 'episode 1'] and damage.count('file-002') == 1
    assert 'expected a parquet file, there is none' in damage


@pytest.mark.parametrize('damage', ['none', 'garbage', 'text', 'playlist'])
def test_a_video_that_does_not_decode_costs_its_episodes(parts, damage):
    path = parts / VIDEO.replace('000.mp4', '001.mp4')
    if damage == 'none':
        path.unlink()
    elif damage == 'garbage':
        data = bytearray(path.read_bytes())
        at = data.index(b'mdat')
        data[at + 40 :] = bytes(byte ^ 0x5A for byte in data[at + 40 :])
        path.write_bytes(data)
    elif damage == 'text':
        path.write_text('no video')
    else:  # which would have ffmpeg open another file
        secret = parts / VIDEO
        path.write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    found, damage = survivors(parts)
    assert found == ['episode 0', 'episode 2']
    assert damage.startswith(f'episode 1 left out: {path.relative_to(parts)}: expected ')
    assert damage.count('left out') == 1


def test_a_broken_packet_in_the_middle_costs_one_episode_of_a_file(tmp_path):
    folder = write_data_set(tmp_path, lengths=(30, 30, 30))
    path = folder / VIDEO
    write_mp4(
        path, [picture(0, i % 30) for i in range(90)], 10, ('libx264', '-g', '2', '-crf', '1')
    )
    data = bytearray(path.read_bytes())
    middle = (data.index(b'mdat') + len(data)) // 2
    data[middle : middle + 60] = bytes(byte ^ 0x5A for byte in data[middle : middle + 60])
    path.write_bytes(data)
    found, damage = survivors(folder)
    assert found == ['episode 0', 'episode 2']
    assert damage.startswith(f'episode 1 left out: {VIDEO}: expected a frame every 0.1 s')
    assert damage.endswith(')')  # and what ffmpeg said


def test_a_video_that_is_short_costs_the_episodes_behind_its_end(folder):
    write_mp4(folder / VIDEO, [picture(0, 0)] * 16, 10)
    found, damage = survivors(folder)
    assert found == ['episode 0', 'episode 1']
    assert damage == (
        f'episode 2 left out: {VIDEO}: expected 7 frames from 1.40 s on, got 2: the video is short'
    )


def test_a_file_that_was_cut_off_costs_the_episodes_that_it_lacks(folder):
    write_mp4(folder / VIDEO, noise(21), 10)
    data = (folder / VIDEO).read_bytes()
    begin = data.index(b'mdat')
    (folder / VIDEO).write_bytes(data[: begin + 6 * (len(data) - begin) // 10])
    found, damage = survivors(folder)
    assert found == ['episode 0']
    assert 'episode 1 left out: ' in damage and 'episode 2 left out: ' in damage


def test_pictures_of_another_size_are_not_stretched(folder):
    write_mp4(folder / VIDEO, [picture(0, 0).repeat(2, axis=0)] * 21, 10)
    found, damage = survivors(folder)
    assert found == [] and damage.startswith('3 episodes (0, 1, 2) left out: ')
    assert 'expected pictures of 64x48 pixels as its data set says, got 64x96' in damage


def test_frames_at_other_times_than_the_rate_says_are_noticed(folder):
    write_mp4(folder / VIDEO, [picture(0, 0)] * 30, 15)
    found, damage = survivors(folder)
    assert found == [] and 'expected a frame every 0.1 s from 0.00 s on' in damage


def test_a_picture_that_does_not_decode_costs_its_episode(tmp_path):
    def change(parts):
        cells = parts['columns'][CAMERAS[0]].to_pylist()
        cells[9]['bytes'] = cells[9]['bytes'][:60]
        cells[15]['bytes'] = None
        parts['columns'][CAMERAS[0]] = pa.array(cells)

    found, damage = survivors(write_data_set(tmp_path, video=False, change=change))
    assert found == ['episode 0']
    assert 'episode 1 left out: data/chunk-000/file-000.parquet: observation.images.fr' in damage
    assert 'expected the bytes of a picture at row 15, got none; a path' in damage


@pytest.mark.parametrize(
    ('column', 'row', 'value', 'expected'),
    [
        ('timestamp', 9, 0.15, 'timestamp: expected 0.1000 s at frame 1, its index / 10 fps, got'),
        ('timestamp', 9, float('nan'), 'got nan'),
        ('frame_index', 9, 5, 'frame_index: expected 0, 1, 2 ... in the episode'),
        ('task_index', 9, 7, 'task_index: expected one of meta/tasks.parquet, got 7'),
        ('episode_index', 9, 40, 'expected 6 rows of the episode, got 5'),
    ],
)
def test_rows_that_do_not_fit_together_cost_their_episode(tmp_path, column, row, value, expected):
    def change(parts):
        values = parts['columns'][column].to_pylist()
        values[row] = value
        parts['columns'][column] = pa.array(values, parts['columns'][column].type)

    found, damage = survivors(write_data_set(tmp_path, change=change))
    assert found == ['episode 0', 'episode 2']
    assert damage.startswith('episode 1 left out: data/chunk-000/file-000.parquet: ')
    assert expected in damage


def test_times_of_a_long_episode_may_be_as_coarse_as_they_are_kept(tmp_path):
    folder = write_data_set(tmp_path, lengths=(3000,), fps=30, video=False, state=1, action=1)
    data = DataSet(folder)
    assert len(data.rows(data.episodes()[0], ()).tasks) == 3000


def test_a_vector_of_another_length_than_stated_is_refused(folder):
    def shorten(table):
        short = [row[:5] for row in table['observation.state'].to_pylist()]
        return table.set_column(
            table.schema.get_field_index('observation.state'), 'observation.state', [short]
        )

    edit_table(folder / DATA, shorten)
    found, damage = survivors(folder)
    assert found == []
    assert 'column observation.state: expected 6 numbers in each row, got 5' in damage


def test_cameras_are_found_by_the_checkpoints_names_or_told(folder):
    info = read_info(folder)
    fitted = DataSetKeys().fitted(folder, info, 2, ('wrist', 'front'), 6)
    assert fitted.images == CAMERAS[::-1] and fitted.state == 'observation.state'
    assert DataSetKeys().fitted(folder, info, 2, (), 0).images == CAMERAS
    assert DataSetKeys(images=('wrist',)).fitted(folder, info, 1, (), 0).images == CAMERAS[1:]
    there = f'there are {", ".join(CAMERAS)}'
    for keys, names, count, expected in (
        (
            DataSetKeys(),
            ('front', 'top'),
            2,
            'the camera top, as the checkpoint calls it',
        ),
        (DataSetKeys(images=('side', 'front')), (), 2, 'expected the camera side; '),
        (DataSetKeys(), (), 1, 'expected 1 camera for this checkpoint, which does not name it'),
        (DataSetKeys(images=('front',)), (), 2, 'expected 2 --image-key for this checkpoint'),
    ):
        text = said(keys.fitted, folder, info, count, names, 0)
        assert expected in text and there in text


def test_a_camera_of_depth_is_none(folder):
    info = json.loads((folder / 'meta/info.json').read_text())
    info['features'][CAMERAS[1]]['info']['is_depth_map'] = True
    edit_info(folder, **info)
    assert read_info(folder).cameras == CAMERAS[:1]


def test_state_and_action_of_another_size_are_told_with_their_names(folder):
    info = read_info(folder)
    text = said(DataSetKeys().fitted, folder, info, 2, (), 8)
    assert 'observation.state: expected 8 numbers, as the checkpoint takes, got [6]' in text
    assert '(j0, j1, j2, j3, j4, j5)' in text
    text = said(DataSetKeys(state='state').fitted, folder, info, 2, (), 6)
    assert 'expected the feature state (--state-key), the checkpoint takes 6 numbers' in text
    assert 'there are observation.state, action' in text
    assert check_actions(folder, info, 'action', 6) == 'action'
    assert check_actions(folder, info, '', 7) == ''
    assert 'action: expected 7 numbers, as' in said(check_actions, folder, info, 'action', 7)
    assert '(--action-key)' in said(check_actions, folder, info, 'command', 6)


def test_corrections_need_the_column_that_says_who_had_the_arm(folder):
    keys = DataSetKeys(corrections='only')
    text = said(keys.fitted, folder, read_info(folder), 2, (), 6)
    assert '--corrections only: expected the feature vla_cache.correction' in text


def test_names_of_numbers_are_read_in_every_form_they_had(folder):
    info = json.loads((folder / 'meta/info.json').read_text())
    words = [f'j{i}' for i in range(6)]
    for form in (words, {'motors': words}, [words], {word: i for i, word in enumerate(words)}):
        info['features']['action']['names'] = form
        edit_info(folder, **info)
        assert number_names(read_info(folder).features['action']) == tuple(words)
    assert number_names(Feature('float32', (3,), ('a', 'b'))) == ()
    first = Feature('video', (3, 48, 64), ('channels', 'height', 'width'))
    assert first.height_width == (48, 64)


def test_the_golden_data_set_is_read_where_it_is_a_link(tmp_path):
    (tmp_path / 'link').symlink_to(GOLDEN)
    copied = tmp_path / 'copy'
    shutil.copytree(GOLDEN / 'meta', copied / 'meta')
    for name in ('data', 'videos'):  # as the hub's cache has them
        (copied / name).symlink_to(GOLDEN / name)
    for folder in (tmp_path / 'link', copied):
        assert len(list(walk(DataSet(folder), KEYS, Cadence(1.0)))) == 9
