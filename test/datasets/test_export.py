# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An export is a whole data set of LeRobot's layout, or nothing; bad bags are named."""

from dataclasses import replace
import fcntl
import json
import os

from bag_samples import image
from bag_samples import MS
from bag_samples import recording
from bag_samples import START
from bag_samples import storage_file
from bag_samples import string
from bag_samples import write_bag
import cv2
from export_samples import exported
from export_samples import in_time
from export_samples import info
from export_samples import listed
from export_samples import numbers
from export_samples import plain
from export_samples import PNG
from export_samples import rows
from export_samples import told
import numpy as np
import pyarrow.parquet as pq
import pytest
from vla_cache_ros.cli.main import main
from vla_cache_ros.datasets import export as exporting
from vla_cache_ros.datasets import writer as writing
from vla_cache_ros.datasets.encoding import VideoFile
from vla_cache_ros.datasets.export import Export
from vla_cache_ros.datasets.statistics import Column

VIDEO = Export()


def left(folder):
    """Return what lies in a folder, hidden or not, beside the bags."""
    return {path.name for path in folder.iterdir() if not path.name.startswith('bag')}


def test_tables_are_laid_out_as_lerobot_lays_them_out(tmp_path):
    exported(write_bag(tmp_path / 'bag', plain()), tmp_path / 'out', VIDEO)
    out = tmp_path / 'out'
    data = pq.ParquetFile(out / 'data/chunk-000/file-000.parquet')
    kinds = {field.name: str(field.type) for field in data.schema_arrow}
    assert kinds['observation.state'] == 'fixed_size_list<element: float>[8]'
    assert kinds['action'] == 'fixed_size_list<element: float>[7]'
    assert kinds['timestamp'] == 'float' and kinds['task_index'] == 'int64'
    assert not [name for name in kinds if 'images' in name]
    pandas = json.loads(pq.read_schema(out / 'meta/tasks.parquet').metadata[b'pandas'])
    assert pandas['index_columns'] == ['task']
    (row,) = listed(out)
    assert row['length'] == row['dataset_to_index'] == 20
    assert row['videos/observation.images.front/from_timestamp'] == 0.0
    assert row['videos/observation.images.wrist/to_timestamp'] == 2.0
    stated = info(out)
    assert stated['codebase_version'] == 'v3.0' and stated['fps'] == 10
    assert stated['total_frames'] == 20 and stated['total_tasks'] == 1
    assert stated['features']['observation.images.front']['shape'] == [48, 48, 3]
    assert stated['features']['observation.images.front']['info']['video.codec'] == 'h264'


def test_pictures_without_loss_are_in_the_tables(tmp_path):
    exported(write_bag(tmp_path / 'bag', plain()), tmp_path / 'out')
    assert not (tmp_path / 'out/videos').exists()
    assert info(tmp_path / 'out')['video_path'] is None
    assert info(tmp_path / 'out')['features']['observation.images.wrist']['dtype'] == 'image'
    pictures = [m for _, t, m in plain() if t == '/image_raw']
    for row, message in zip(rows(tmp_path / 'out'), pictures, strict=True):
        data = np.frombuffer(row['observation.images.front']['bytes'], np.uint8)
        stored = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
        assert np.array_equal(stored.reshape(-1), message.data)


def test_statistics_are_those_of_all_frames(tmp_path):
    bags = [write_bag(tmp_path / f'bag{seed}', plain(seed=seed)) for seed in (0, 1)]
    exported(bags, tmp_path / 'out')
    stats = json.loads((tmp_path / 'out/meta/stats.json').read_text())
    found = rows(tmp_path / 'out')
    for name in ('action', 'observation.state'):
        values = np.array([row[name] for row in found], float)
        assert stats[name]['count'] == [40]
        assert stats[name]['mean'] == pytest.approx(values.mean(axis=0))
        assert stats[name]['std'] == pytest.approx(values.std(axis=0))
        assert stats[name]['max'] == pytest.approx(values.max(axis=0))
        assert stats[name]['q90'] == pytest.approx(np.quantile(values, 0.9, axis=0))
    pictures = [m.data for s in (0, 1) for _, t, m in plain(seed=s) if t == '/image_raw']
    pixels = np.stack(pictures).reshape(-1, 3) / 255
    colours = stats['observation.images.front']
    assert np.array(colours['mean']).shape == (3, 1, 1) and colours['count'] == [40]
    assert np.ravel(colours['mean']) == pytest.approx(pixels.mean(axis=0))
    assert np.ravel(colours['std']) == pytest.approx(pixels.std(axis=0))
    assert np.ravel(colours['min']) == pytest.approx(pixels.min(axis=0))
    assert np.ravel(colours['q50']) == pytest.approx(np.median(pixels, axis=0), abs=1 / 255)
    first = listed(tmp_path / 'out')[0]
    values = np.array([row['action'] for row in found[:20]], float)
    assert first['stats/action/mean'] == pytest.approx(values.mean(axis=0))


def test_quantiles_of_very_many_frames_are_those_of_a_sample(monkeypatch):
    monkeypatch.setattr('vla_cache_ros.datasets.statistics.SAMPLE', 2000)
    column = Column(1)
    for part in np.split(np.arange(50_000.0)[:, None], 50):
        column.add(part)
    stats = column.stats()
    assert stats['count'] == [50_000] and stats['max'] == [49_999.0]
    assert stats['mean'] == pytest.approx([24_999.5]) and stats['q01'] == stats['q01']
    assert stats['q50'][0] == pytest.approx(25_000, abs=2500)


def test_long_files_are_continued_in_others(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, 'DATA_MB', 0)
    monkeypatch.setattr(writing, 'VIDEO_MB', -1)  # an encoder may not have written anything yet
    monkeypatch.setattr(writing, 'CHUNKS_SIZE', 2)
    monkeypatch.setattr(writing, 'LISTED', 2)
    bags = [write_bag(tmp_path / f'bag{seed}', plain(seed=seed)) for seed in range(3)]
    exported(bags, tmp_path / 'out', VIDEO)
    video = 'videos/observation.images.front'
    for name in ('data', video):
        places = [
            (row[f'{name}/chunk_index'], row[f'{name}/file_index'])
            for row in listed(tmp_path / 'out')
        ]
        assert places == [(0, 0), (0, 1), (1, 0)]
    for chunk, file in places:
        assert (tmp_path / 'out' / video / f'chunk-{chunk:03d}/file-{file:03d}.mp4').exists()
    assert [row[f'{video}/from_timestamp'] for row in listed(tmp_path / 'out')] == [0.0] * 3


def test_a_video_tells_how_large_it_has_become(tmp_path):
    rng = np.random.default_rng(0)
    file = VideoFile(tmp_path / 'a.mp4', 48, 48, 10, 18)
    assert file.bytes < 2**15
    while file.frames < 2000 and file.bytes < 2**15:  # the encoder holds pictures back
        file.add(rng.integers(0, 256, (48, 48, 3), np.uint8))
    seen = file.bytes
    file.close()
    assert 2**15 <= seen <= file.bytes == (tmp_path / 'a.mp4').stat().st_size


def test_a_long_episode_of_pictures_is_written_in_parts(tmp_path, monkeypatch):
    bag = write_bag(tmp_path / 'bag', plain())
    exported(bag, tmp_path / 'whole')
    monkeypatch.setattr(writing, 'ROW_GROUP', 10_000)
    exported(bag, tmp_path / 'parts')
    table = pq.ParquetFile(tmp_path / 'parts/data/chunk-000/file-000.parquet')
    assert table.num_row_groups > 3
    assert rows(tmp_path / 'parts') == rows(tmp_path / 'whole')
    assert listed(tmp_path / 'parts') == listed(tmp_path / 'whole')


def test_of_a_damaged_bag_what_can_be_read_is_taken(tmp_path):
    bag = write_bag(tmp_path / 'bag', plain(seconds=8, size=96), zstd=False)
    file = storage_file(bag)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    exported(bag, tmp_path / 'out')
    facts = told(tmp_path / 'out')['bags'][0]
    assert 20 < facts['frames'] < 60 and len(rows(tmp_path / 'out')) == facts['frames']
    assert facts['damage']


def test_a_bag_without_commands_is_named_and_the_others_go_on(tmp_path, capsys):
    bags = [write_bag(tmp_path / 'bag0', recording(1)), write_bag(tmp_path / 'bag1', plain())]
    exported([tmp_path / 'bag2', *bags], tmp_path / 'out')
    assert info(tmp_path / 'out')['total_episodes'] == 1
    errors = [bag['error'] for bag in told(tmp_path / 'out')['bags']]
    assert 'there is nothing' in errors[0] and '--action-topic' in errors[1] and not errors[2]
    assert 'FAILED: ' in capsys.readouterr().out
    with pytest.raises(ValueError, match='expected commands of the arm on /delta_twist_cmds or'):
        exported(bags[0], tmp_path / 'none')
    assert left(tmp_path) == {'out'}


def test_a_bag_of_another_robot_is_named(tmp_path):
    other = [one for one in plain() if one[1] != '/delta_twist_cmds']
    other += [numbers(ms, '/joint_position_commands', 1, 2) for ms in range(0, 2000, 100)]
    bags = [write_bag(tmp_path / 'bag0', plain()), write_bag(tmp_path / 'bag1', in_time(other))]
    exported(bags, tmp_path / 'out')
    error = told(tmp_path / 'out')['bags'][1]['error']
    assert 'action: expected linear_x' in error and 'a data set of its own' in error


@pytest.mark.parametrize('export', [PNG, VIDEO])
def test_pictures_of_another_size_end_what_a_bag_gives(tmp_path, export):
    messages = plain()
    bigger = [(t + 2 * 10**9, n, m) for t, n, m in plain(size=64) if n.endswith('image_raw')]
    for _, _, message in bigger:
        message.header.stamp.sec += 2
    others = [(t + 2 * 10**9, n, m) for t, n, m in plain() if not n.endswith('image_raw')]
    for _, _, message in others:
        if hasattr(message, 'header'):
            message.header.stamp.sec += 2
    bag = write_bag(tmp_path / 'bag', in_time([*messages, *bigger, *others]))
    exported(bag, tmp_path / 'out', export)
    facts = told(tmp_path / 'out')['bags'][0]
    assert 'expected pictures of 48x48 pixels like the first one, got 64x64' in facts['error']
    assert facts['frames'] == info(tmp_path / 'out')['total_frames'] == 20


def test_odd_sides_are_refused_for_video_and_stored_without_loss(tmp_path):
    bag = write_bag(tmp_path / 'bag', plain(size=49))
    with pytest.raises(
        ValueError, match='even sides for H.264, got 49x49.*store them with --images png'
    ):
        exported(bag, tmp_path / 'out', VIDEO)
    assert left(tmp_path) == set()
    exported(bag, tmp_path / 'out')
    assert info(tmp_path / 'out')['features']['observation.images.front']['shape'] == [49, 49, 3]


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    bag = write_bag(tmp_path / 'bag', plain())
    (tmp_path / 'out').mkdir()
    exported(bag, tmp_path / 'out')
    before = rows(tmp_path / 'out')
    with pytest.raises(ValueError, match='not there yet, or empty; choose another --out'):
        exported(bag, tmp_path / 'out')
    assert rows(tmp_path / 'out') == before


def test_an_error_leaves_nothing_and_what_a_kill_left_is_removed(tmp_path, monkeypatch):
    bag = write_bag(tmp_path / 'bag', plain())
    (tmp_path / '.out.part/data').mkdir(parents=True)
    (tmp_path / '.out.part/data/old').write_text('half')

    def full(self, picture):
        raise OSError('no space left')

    with monkeypatch.context() as patched:
        patched.setattr(VideoFile, 'add', full)
        with pytest.raises(OSError, match='no space left'):
            exported(bag, tmp_path / 'out', VIDEO)
    assert left(tmp_path) == set()
    exported(bag, tmp_path / 'out', VIDEO)
    assert left(tmp_path) == {'out'} and not (tmp_path / 'out/data/old').exists()


def test_an_encoder_that_ends_is_told_in_one_line(tmp_path):
    file = VideoFile(tmp_path / 'a.mp4', 48, 48, 10, 18)
    file._process.kill()
    with pytest.raises(OSError, match='expected a video, ffmpeg ended with -9'):
        for _ in range(1000):
            file.add(np.zeros((48, 48, 3), np.uint8))


def test_two_exports_to_one_folder_do_not_meet(tmp_path):
    bag = write_bag(tmp_path / 'bag', plain())
    (tmp_path / '.out.part').mkdir()
    other = os.open(tmp_path / '.out.part', os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ValueError, match='expected no other export to it, one is under way'):
        exported(bag, tmp_path / 'out')
    os.close(other)
    exported(bag, tmp_path / 'out')
    assert left(tmp_path) == {'out'}


def test_a_recording_without_a_frame_makes_no_data_set(tmp_path):
    messages = [one for one in plain() if one[1] != '/end_effector_pose']
    stamp = START - 10**9
    messages.append((stamp, '/end_effector_pose', string('')))
    bag = write_bag(tmp_path / 'bag', in_time(one for one in messages if one[1] != '/instruction'))
    with pytest.raises(ValueError, match='--instruction-topic or --instruction'):
        exported(bag, tmp_path / 'out')
    black = [one for one in plain() if not one[1].endswith('image_raw')]
    for ms in (0, 100):
        for topic in ('/image_raw', '/wrist/image_raw'):
            message = image(START + ms * MS, 0)
            message.data = np.zeros_like(message.data)
            black.append((START + (ms + 5) * MS, topic, message))
    with pytest.raises(ValueError, match='expected at least one frame, got none: .*black'):
        exported(write_bag(tmp_path / 'bag2', in_time(black)), tmp_path / 'out')
    assert left(tmp_path) == set()


def test_cameras_are_named_by_their_topics_or_as_one_says(tmp_path):
    bag = write_bag(tmp_path / 'bag', plain())
    exported(bag, tmp_path / 'out', replace(PNG, cameras=('top', 'hand')))
    assert 'observation.images.hand' in info(tmp_path / 'out')['features']
    for names in (('top',), ('a', 'a'), ('../a', 'b')):
        with pytest.raises(ValueError, match='--camera-name: expected'):
            exported(bag, tmp_path / 'other', replace(PNG, cameras=names))


def test_the_verb_takes_topics_and_says_what_came_out(tmp_path, capsys):
    bag, out = write_bag(tmp_path / 'bag', plain()), tmp_path / 'out'
    line = ['export', '--bag', str(bag), '--out', str(out), '--fps', '5', '--images', 'png']
    assert main([*line, '--robot-type', 'ur5e', '--camera-name', 'a', '--camera-name', 'b']) == 0
    assert f'{out}: 10 frames at 5 fps' in capsys.readouterr().out
    assert info(out)['robot_type'] == 'ur5e'
    assert main(line) == 2
    assert 'not added to' in capsys.readouterr().err


def test_a_survey_takes_the_rate_of_the_first_usable_bag(tmp_path):
    bags = [write_bag(tmp_path / f'bag{rate}', plain(rate)) for rate in (10, 20)]
    survey = exporting.look_at([tmp_path / 'none', *reversed(bags)], PNG)
    assert survey.fps == 20 and list(survey.refused) == [tmp_path / 'none']
