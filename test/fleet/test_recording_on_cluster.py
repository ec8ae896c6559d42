# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Comparisons and recordings whose work is done elsewhere: what comes back, and who writes it."""

from dataclasses import replace
import os

from bag_samples import recording
from bag_samples import write_bag
import pytest
from small_cluster import small_cluster
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.fleet.jobs import Outcome
from vla_cache_ros.fleet.joining import joined
from vla_cache_ros.training.bag_recordings import BagSource
from vla_cache_ros.training.bag_recordings import facts_of
from vla_cache_ros.training.bag_recordings import record_bags
from vla_cache_ros.training.recording import far as module
from vla_cache_ros.training.recording.far import record_far
from vla_cache_ros.training.recordings import Recordings


class OneByOne:
    """Run tasks here, as a cluster would; lose: how often each is lost before its result."""

    processes, status = 1, 'here'

    def __init__(self, lose=0):
        self.lose = lose

    def run(self, job, tasks, piece):
        for index, task in enumerate(tasks):
            for tries in range(1, self.lose + 2):
                *pieces, result = job.work(job.begin(job.spec), task)
                for value in pieces if tries > self.lose else pieces[:1]:
                    piece(index, tries, value)
            yield Outcome(index, result)


@pytest.fixture(scope='module')
def bags(tmp_path_factory):
    """Return three bags of one episode."""
    place = tmp_path_factory.mktemp('bags')
    return [
        write_bag(place / f'{i}', recording(2, instruction=f'put {i} there')) for i in range(3)
    ]


def source_of(bags):
    return BagSource(bags, BagTopics(), Cadence(0.4), 2)


def files(folder):
    """Return every file below a folder with its content."""
    found = (path for path in sorted(folder.rglob('*')) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def contents(folders):
    """Return what the recordings in folders are."""
    frames = Recordings(folders, held_out=1).frames
    return frames.images(list(range(len(frames)))).tobytes(), {
        name: values.tobytes() for name, values in frames.table.items()
    }


@pytest.mark.parametrize('lose', [0, 1])
def test_shards_that_come_in_pieces_are_those_written_here(bags, tmp_path, monkeypatch, lose):
    monkeypatch.setattr(module, 'PIECE', 100_000)
    here = record_bags(source_of(bags), 2, True, tmp_path / 'here')
    far = record_bags(
        source_of(bags), 2, True, tmp_path / 'far', lambda r: record_far(r, OneByOne(lose))
    )
    assert [folder.name for folder in far] == [folder.name for folder in here]
    assert contents(far) == contents(here)
    assert list(files(tmp_path / 'far')) == list(files(tmp_path / 'here'))
    assert [facts_of(folder) for folder in far] == [facts_of(folder) for folder in here]


def test_what_is_complete_is_not_asked_for_again(bags, tmp_path):
    record_bags(source_of(bags), 2, True, tmp_path)
    record_bags(source_of(bags), 2, True, tmp_path, lambda left: pytest.fail(str(left)))
    asked = []

    def elsewhere(left):
        asked.extend(left)
        record_far(left, OneByOne())

    (tmp_path / '001-1' / 'recorded.json').unlink()
    record_bags(source_of(bags), 2, True, tmp_path, elsewhere)
    assert [recording.path for recording in asked] == [bags[1]]


def test_a_recording_whose_bag_is_only_there_is_still_known(bags, tmp_path):
    record_bags(source_of(bags), 2, True, tmp_path / 'out')
    moved = [tmp_path / path.name for path in bags]  # a path that is not on this machine
    record_bags(source_of(moved), 2, True, tmp_path / 'out', lambda left: pytest.fail('asked'))
    with pytest.raises(ValueError, match='differs in offsets'):
        record_bags(replace(source_of(moved), offsets=3), 2, True, tmp_path / 'out')


def test_a_bag_that_fails_is_told_and_the_others_are_complete(bags, tmp_path, capsys):
    class Failing(OneByOne):
        def run(self, job, tasks, piece):
            yield Outcome(0, error='its process died 3 times')
            for outcome in super().run(job, tasks[1:], lambda i, *rest: piece(i + 1, *rest)):
                yield replace(outcome, index=outcome.index + 1)

    def elsewhere(left):
        record_far(left, Failing())

    with pytest.raises(ValueError, match='1 of 3 were not, the first .*0: its process died'):
        record_bags(source_of(bags), 2, True, tmp_path / 'out', elsewhere)
    assert capsys.readouterr().err.count('not recorded') == 1
    done = sorted(path.parent.name for path in (tmp_path / 'out').rglob('recorded.json'))
    assert done == ['001-1', '002-2']


def test_a_name_that_is_no_shard_is_refused(bags, tmp_path):
    class Lying(OneByOne):
        def run(self, job, tasks, piece):
            piece(0, 1, ('../../evil.npz', b'x'))
            yield Outcome(0, {})

    with pytest.raises(ValueError, match="expected a file of a shard, got '../../evil.npz'"):
        record_bags(source_of(bags), 2, True, tmp_path, lambda r: record_far(r, Lying()))
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_cluster_records_what_is_recorded_here(bags, tmp_path):
    here = record_bags(source_of(bags), 2, True, tmp_path / 'here')
    with small_cluster() as nodes, joined(nodes.address) as runner:
        far = record_bags(
            source_of(bags), 2, True, tmp_path / 'far', lambda r: record_far(r, runner)
        )
    assert contents(far) == contents(here)
