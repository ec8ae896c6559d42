# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data sets become recordings that a gate learns from, as bags do."""

from dataclasses import replace
import json

import numpy as np
import pytest
from small_data_sets import shade
from small_data_sets import write_data_set
from tiny_model import write_checkpoint
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.cli.main import main
from vla_cache_ros.datasets import dataset as module
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.training import gate_report
from vla_cache_ros.training import walks
from vla_cache_ros.training.bag_recordings import DataSetSource
from vla_cache_ros.training.bag_recordings import facts_of
from vla_cache_ros.training.bag_recordings import record_bags
from vla_cache_ros.training.recordings import Recordings

LENGTHS = (9, 8, 12, 10)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp('sets') / 'four', LENGTHS, state=8, action=7)


def source_of(*folders, period=0.4, offsets=2, **keys):
    cadences = [Cadence(period)] * len(folders)
    return DataSetSource(folders, DataSetKeys(**keys), cadences, offsets).fitted(2, (), 8)


def test_an_episode_is_walked_through_from_several_frames_on(folder, tmp_path):
    (out,) = record_bags(source_of(folder), 2, True, tmp_path)
    recordings = Recordings([out], held_out=1)
    table = recordings.frames.table
    assert table['episode'].tolist()[:5] == [0, 0, 0, 1, 1]
    frames = np.round(table['proprio'][:, 0]).astype(int)
    assert frames[:5].tolist() == [0, 4, 8, 100, 104]
    assert set(frames[table['offset'] == 1] % 100) == {2, 6, 10}
    assert set(table['episode'][np.concatenate(recordings.held_out)]) == {3}
    facts = facts_of(out)
    assert (facts['episodes'], facts['too_short'], facts['damage']) == (4, 0, '')
    assert facts['data_set'] == 'four' and 'video (h264' in facts['compression']
    images = recordings.frames.images(np.arange(5))
    assert images.shape == (5, 2, 224, 224, 3)
    reds = [shade(number // 100, number % 100) for number in frames[:5]]
    assert images[:, 0, ..., 0].mean((1, 2)) == pytest.approx(reds, abs=6)


def test_an_episode_that_is_left_out_moves_no_other(tmp_path, capsys):
    folder = write_data_set(tmp_path / 'set', LENGTHS, state=8, files=4)
    (folder / 'videos/observation.images.front/chunk-000/file-001.mp4').unlink()
    (out,) = record_bags(source_of(folder), 2, True, tmp_path / 'out')
    table = Recordings([out], held_out=1).frames.table
    owners = np.round(table['proprio'][:, 0]).astype(int) // 100
    assert sorted(set(zip(table['episode'].tolist(), owners.tolist(), strict=True))) == [
        (0, 0),
        (1, 2),
        (2, 3),
    ]
    printed = capsys.readouterr().out
    assert '3 episodes' in printed and printed.count('episode 1 left out') == 1


def test_fewer_frames_than_walks_are_said_and_none_is_taken_twice(folder, tmp_path):
    (out,) = record_bags(source_of(folder, period=0.2, offsets=4), 2, True, tmp_path)
    table = Recordings([out], held_out=1).frames.table
    assert len(table['stamp']) == sum(LENGTHS) == len(set(table['stamp'].tolist()))
    assert any('offsets: 4 asked for, 2 used' in note for note in facts_of(out)['notes'])


def test_a_second_start_reads_no_data_set_and_another_one_is_refused(
    folder, tmp_path, monkeypatch
):
    source = source_of(folder)
    first = Recordings(record_bags(source, 2, True, tmp_path), held_out=1)
    monkeypatch.setattr(module, 'DataSet', None)
    again = Recordings(record_bags(source, 2, True, tmp_path), held_out=1)
    assert again.digest == first.digest
    for other, named in (
        (source_of(folder, offsets=1), 'offsets'),
        (source_of(folder, text='other words'), 'keys'),
        (replace(source, cadences=[Cadence(0.5)]), 'cadence'),
    ):
        with pytest.raises(ValueError, match=f'differs in {named}: choose'):
            record_bags(other, 2, True, tmp_path)


def test_too_few_episodes_and_what_does_not_fit_are_refused(folder, tmp_path):
    two = write_data_set(tmp_path / 'two', (8, 6), state=8)
    with pytest.raises(ValueError, match='expected at least 3 episodes of two or more steps'):
        record_bags(source_of(two), 2, True, tmp_path / 'out')
    with pytest.raises(ValueError, match='data sets: expected each data set once'):
        source_of(two, two)
    with pytest.raises(ValueError, match='expected 3 cameras for this checkpoint'):
        source_of(folder).fitted(3, (), 8)
    with pytest.raises(ValueError, match=r'observation.state: expected 6 numbers, .* got \[8\]'):
        source_of(folder).fitted(2, (), 6)


def test_a_gate_comes_of_a_data_set_without_taking_its_numbers_for_poses(
    folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(walks, 'STREAMS', 2)
    monkeypatch.setattr(walks, 'STEPS', 4)
    monkeypatch.setattr(gate_report, 'REUSES', ())
    checkpoint, out = write_checkpoint(tmp_path / 'model'), tmp_path / 'run'
    line = ['train', 'gate', '--checkpoint', str(checkpoint), '--dataset', str(folder)]
    line += ['--out', str(out), '--stage1', '2', '--walks', '1', '--batch', '2', '--offsets', '1']
    assert main(line) == 0
    assert f'gate: learned@{out / "gate"}' in capsys.readouterr().out
    figures = json.loads((out / 'report.json').read_text())
    assert [row['gate'] for row in figures['rows']] == ['dense', 'motion rule', 'after']
    assert all(row['displacement'] is None for row in figures['rows'])
    assert (figures['period'], figures['bags'][0]['data_set']) == (0.4, 'four')
    page = (out / 'report.html').read_text(encoding='utf-8')
    assert 'apart, mm' not in page and 'patches differ by some grey levels' in page
    assert main([*line, '--poses']) == 0  # goes on where it was: only the report is another
    assert 'apart, mm' in capsys.readouterr().out


def test_options_of_bags_are_refused_with_data_sets(folder, tmp_path, capsys):
    line = ['train', 'gate', '--dataset', str(folder), '--out', str(tmp_path / 'run')]
    assert main([*line, '--joint-topic', '/j']) == 2
    assert '--joint-topic needs --bag' in capsys.readouterr().err
    assert main([*line[:2], '--bag', 'a', *line[4:], '--state-key', 'b']) == 2
    assert '--state-key needs --dataset' in capsys.readouterr().err
    assert not (tmp_path / 'run').exists()
