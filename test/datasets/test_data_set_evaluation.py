# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates along data sets: against dense, against what was recorded, in parts, and told in lines."""

import json
from types import SimpleNamespace

from fake_policy import FakePolicy
import numpy as np
import pyarrow as pa
import pytest
from small_data_sets import write_data_set
from tiny_model import write_checkpoint
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.cli.main import main
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings import tasks as module
from vla_cache_ros.evaluation.recordings.figures import bag_figures
from vla_cache_ros.evaluation.recordings.figures import table
from vla_cache_ros.evaluation.recordings.run import run_bag
from vla_cache_ros.evaluation.recordings.tasks import data_set_tasks
from vla_cache_ros.evaluation.recordings.tasks import DataSetTask
from vla_cache_ros.vla.actions import Bounds
from vla_cache_ros.vla.actions import DatasetStatistics

DENSE, OTHER = Entry('dense', 'dense'), Entry('other', 'other')
NAMES = ['x', 'y', 'z', 'rx', 'ry', 'rz', 'left_gripper']


def bounds(size):
    return Bounds(np.full(size, -1.0), np.ones(size), np.ones(size, bool))


class Recorded(FakePolicy):
    """A fake policy with the statistics that a comparison asks for."""

    statistics = DatasetStatistics('toy', bounds(7), bounds(8))


def policies():
    """Return a dense policy and one that goes 1 mm further along x and closes the gripper."""
    dense, other = Recorded(), Recorded()
    other.action = dense.action + np.array([0.001, 0, 0, 0, 0, 0, -1.5])
    return {DENSE: dense, OTHER: other}


def task(path, **other):
    fields = {'keys': DataSetKeys(), 'cadence': Cadence(0.4), 'executed': 4} | other
    return DataSetTask(path, **fields)


def named(*names, actions=None):
    """Return a change of a data set: names of the action's numbers, and all actions."""

    def change(parts):
        parts['info']['features']['action']['names'] = list(names) or None
        if actions is not None:
            flat = pa.array(np.tile(np.float32(actions), 21))
            parts['columns']['action'] = pa.FixedSizeListArray.from_arrays(flat, 7)

    return change


def small(folder, **options):
    return write_data_set(folder, state=8, action=7, **options)


def test_actions_are_compared_with_dense_and_with_what_was_recorded(tmp_path):
    actions = FakePolicy().action + np.array([0.1, 0, 0, 0, 0, 0, 0])
    actors = policies()
    result = run_bag(task(small(tmp_path, change=named(*NAMES, actions=actions))), actors)
    assert [step.source for step in result.steps][:3] == [
        'episode 0, frame 0',
        'episode 0, frame 4',
        'episode 1, frame 0',
    ]
    assert actors[OTHER].resets == ['episode_reset'] * 3
    figures = bag_figures([result], ['dense', 'other'])
    dense, other = figures['gates']
    assert list(other['action_error']) == NAMES == list(dense['recorded']['action_error'])
    assert dense['recorded']['observations'] == 6
    assert dense['recorded']['action_error']['x']['mean'] == pytest.approx(0.1, abs=1e-6)
    assert other['recorded']['action_error']['x']['mean'] == pytest.approx(0.099, abs=1e-6)
    # of seven numbers one is off by 0.1, in a range of -1 to 1; the gripper too, by 1.5
    assert dense['recorded']['action_error_normalized']['mean'] == pytest.approx(0.1 / 7)
    off = (0.099 + 1.5) / 7
    assert other['recorded']['action_error_normalized']['mean'] == pytest.approx(off)
    assert other['displacement_mm'] is None and other['gripper_flips'] == 1.0
    assert figures['bags'][0]['episodes'][1]['source'] == 'episode 1, frame 0'
    assert figures['bags'][0]['steps'][1]['gates']['dense']['recorded_error_normalized'] > 0
    assert 'normalised to recorded' in table(figures).text()
    assert 'video (h264, crf 10, a key frame every 2); patches differ' in result.compression


def test_recorded_actions_that_end_with_the_episode_are_compared_as_far_as_they_go(tmp_path):
    folder = small(tmp_path, lengths=(5,), video=False)
    result = run_bag(task(folder), policies())
    assert [len(s.gates['dense'].recorded.absolute) for s in result.steps] == [4, 1]
    assert result.compression == ''  # PNG


def test_numbers_are_poses_only_where_the_user_says_so(tmp_path):
    folder = small(tmp_path, change=named(*NAMES))
    result = run_bag(task(folder, poses=True), policies())
    gate = bag_figures([result], ['dense', 'other'])['gates'][1]
    assert gate['displacement_mm']['mean'] == pytest.approx(4.0)
    assert gate['recorded']['displacement_mm']['mean'] > 0
    six = write_data_set(tmp_path / 'six', state=8)
    dense = SimpleNamespace(
        num_images=2,
        camera_names=(),
        proprio_size=8,
        chunk=8,
        statistics=DatasetStatistics('toy', bounds(6), bounds(8)),
    )
    with pytest.raises(ValueError, match=r'--poses: expected actions of 7 numbers .*, got 6'):
        task(six, poses=True).open(dense)


@pytest.mark.parametrize(
    ('names', 'flips'), [([], 1.0), (['j0', 'j1', 'j2', 'j3', 'j4', 'j5', 'j6'], None)]
)
def test_without_a_gripper_among_the_names_none_is_counted(tmp_path, names, flips):
    result = run_bag(task(small(tmp_path, change=named(*names))), policies())
    figures = bag_figures([result], ['dense', 'other'])
    assert figures['gates'][1]['gripper_flips'] == flips
    assert ('gripper flips' in table(figures).text()) == (flips is not None)


def test_without_recorded_actions_the_others_are_compared(tmp_path):
    folder = small(tmp_path)
    result = run_bag(task(folder, keys=DataSetKeys(action='')), policies())
    figures = bag_figures([result], ['dense', 'other'])
    assert figures['gates'][0]['recorded'] is None
    assert 'recorded' not in table(figures).text()


@pytest.mark.parametrize(
    ('options', 'sizes', 'expected'),
    [
        ({'executed': 9}, {}, '--execute-steps of at most 8'),
        ({'keys': DataSetKeys(images=('top', 'front'))}, {}, 'expected the camera top; there are'),
        ({'keys': DataSetKeys(state='joints')}, {}, '--state middle feeds the middle'),
        ({}, {'state': 6}, 'observation.state: expected 8 numbers, as the checkpoint takes'),
        ({}, {'action': 6}, 'action: expected 7 numbers, as the checkpoint gives, got [6]'),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_told_in_one_line(tmp_path, options, sizes, expected):
    folder = write_data_set(tmp_path, **({'state': 8, 'action': 7} | sizes))
    with pytest.raises(ValueError) as error:
        run_bag(task(folder, **options), policies())
    assert expected in str(error.value) and '\n' not in str(error.value)


def test_the_middle_of_the_range_stands_in_for_a_state(tmp_path):
    actors = policies()
    keys = DataSetKeys(state='none')
    run_bag(task(small(tmp_path), keys=keys, state='middle'), actors)
    assert actors[DENSE].observations[1].proprio == pytest.approx([0.0] * 8)


def test_without_any_episode_the_reason_is_told(tmp_path):
    folder = small(tmp_path)
    (folder / 'data/chunk-000/file-000.parquet').unlink()
    with pytest.raises(ValueError, match=r'made: 3 episodes \(0, 1, 2\) left out: .* is none'):
        run_bag(task(folder), policies())


def test_many_episodes_are_several_tasks_that_give_the_same_together(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'BLOCK', 2)
    folder = small(tmp_path, lengths=(5, 6, 7, 5, 9))
    whole = task(folder)
    parts = data_set_tasks(whole)
    assert [part.name.rpartition(', ')[2] for part in parts] == [
        'episodes 0 to 1',
        'episodes 2 to 3',
        'episodes 4 to 4',
    ]
    assert len({json.dumps(part.identity()) for part in parts}) == 3
    sources = [s.source for part in parts for s in run_bag(part, policies()).steps]
    assert sources == [step.source for step in run_bag(whole, policies()).steps]
    monkeypatch.setattr(module, 'BLOCK', 5)
    assert data_set_tasks(whole) == [whole]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'))


def test_a_report_is_written_a_broken_set_told_and_a_second_start_runs_nothing(
    checkpoint, tmp_path, capsys
):
    good = small(tmp_path / 'good', files=3)
    (good / 'videos/observation.images.wrist/chunk-000/file-001.mp4').write_text('broken')
    old = small(tmp_path / 'old')
    info = json.loads((old / 'meta/info.json').read_text()) | {'codebase_version': 'v2.1'}
    (old / 'meta/info.json').write_text(json.dumps(info))
    out = tmp_path / 'out'
    line = ['evaluate', '--checkpoint', str(checkpoint), '--dataset', str(good)]
    line += ['--dataset', str(old), '--gate', 'motion', '--reuse', '0.5', '--out', str(out)]
    line += ['--period', '0.25', '--processes', '1']
    assert main(line) == 0
    printed = capsys.readouterr()
    assert 'expected a whole number of frames at 10 fps, got 0.25 s' in printed.out
    assert f'{good}: damaged: episode 1 left out: videos/observation.images.wrist/' in printed.out
    assert f'{old}: not evaluated: expected a LeRobotDataset v3.0, got v2.1' in printed.err
    assert 'in 1 of 2 parts of data sets' in printed.out
    figures = json.loads((out / 'report.json').read_text())
    assert figures['observations'] == 8 and figures['episodes'] == 2
    assert figures['keys']['state'] == 'observation.state'
    assert figures['gates'][1]['recorded']['action_error_normalized']['mean'] > 0
    page = (out / 'report.html').read_text(encoding='utf-8')
    for part in (
        'Distance to the recorded actions',
        'patches differ by some grey levels',
        'episode 2, frame 0',
        'is damaged: episode 1 left out',
        'every 2. frame is used',
    ):
        assert part in page
    assert 'live gate' not in page and '1970' not in page
    assert main(line) == 0
    printed = capsys.readouterr()
    assert '1 of 2 parts of data sets were evaluated before' in printed.out
    assert json.loads((out / 'report.json').read_text())['gates'] == figures['gates']
    assert 'Distance to the recorded actions' in (out / 'report.html').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        (['--dataset', 'a', '--bag', 'b'], 'expected bags (--bag) or data sets (--dataset), got'),
        (['--image-key', 'front'], '--image-key needs --dataset'),
        (['--bag', 'a', '--action-key', ''], '--action-key needs --dataset'),
        (['--dataset', 'a', '--image-topic', 'b'], '--image-topic needs --bag'),
        (['--dataset', 'a', '--report-topic', ''], '--report-topic needs --bag'),
        (['--dataset', 'a', '--episodes', '5'], '--episodes cannot be combined with --dataset'),
        (['--period', '1'], '--period needs --bag or --dataset'),
        (['--dataset', 'lerobot/none'], 'hf download lerobot/none --repo-type dataset'),
    ],
)
def test_options_that_mean_nothing_are_refused(line, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(['evaluate', *line]) == 2
    said = capsys.readouterr().err
    assert expected in said and said.count('\n') == 1
    assert list(tmp_path.iterdir()) == []
