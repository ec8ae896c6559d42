# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies take turns, processes share seeds, and a cut-off comparison goes on where it was."""

from collections import Counter
import multiprocessing
import time

from fake_comparison import CountingWorld
from fake_comparison import definition
from fake_comparison import FakeGatePolicy
from fake_comparison import SETTINGS
import pytest
from vla_cache_ros.evaluation.comparison.compare import share_seeds
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.turns import turn_order

DENSE, MOTION, RANDOM = Entry('dense', 'dense'), Entry('m', 'motion'), Entry('r', 'random')


def work(path, entries, seeds, delay=0.0, **kwargs):
    """Run a comparison with one process's own folder object; return who acted, in order."""
    log = []
    folder = ComparisonFolder.join(path, SETTINGS)
    policies = {e: FakeGatePolicy(float(e != RANDOM), e.label, log, delay) for e in entries}
    held = share_seeds(folder, policies, CountingWorld(), seeds, **kwargs)
    folder.close()
    return log, held


def lines(path):
    """Return the number of episodes in all files of the folder."""
    text = ''.join(file.read_text() for file in path.glob('episodes/*.jsonl'))
    return text.count('"seed"')


@pytest.mark.parametrize('count', [2, 3, 4, 7, 10])
def test_every_entry_has_every_place_and_follows_every_other_equally_often(count):
    seeds = range(100_000, 100_000 + 2 * count)
    orders = [turn_order(count, seed) for seed in seeds]
    assert all(sorted(order) == list(range(count)) for order in orders)
    places = Counter((entry, place) for order in orders for place, entry in enumerate(order))
    assert set(places.values()) == {2} and len(places) == count**2
    follows = Counter(pair for order in orders for pair in zip(order, order[1:], strict=False))
    assert set(follows.values()) == {2} and len(follows) == count * (count - 1)


def test_entries_take_turns_seed_by_seed_in_an_order_that_changes(tmp_path):
    log, held = work(tmp_path, [DENSE, MOTION, RANDOM], range(3))
    turns = [tuple(log[i : i + 3]) for i in range(0, 9, 3)]
    assert held == 0 and len(set(turns)) == 3
    assert all(sorted(turn) == ['dense', 'm', 'r'] for turn in turns)


def test_an_episode_comes_back_as_it_was_written(tmp_path):
    shadow = FakeGatePolicy(0.75)
    work(tmp_path, [MOTION], range(5, 7), shadow=shadow, shadowed=1)
    folder = ComparisonFolder(tmp_path)
    first, second = (folder.records['m', None, seed] for seed in (5, 6))
    episode = first.episode
    assert (episode.success, episode.steps, episode.task) == (True, 8, 'task_1')
    assert episode.reuse == (0.0, 0.6) and episode.refreshes == ('episode_reset', '')
    assert episode.latency_ms == ({'total': 20.0, 'gate': 1.0},) * 2
    assert episode.age_counts == (5, 2, 1)
    assert episode.action_error == (0.25, 0.25) and second.episode.action_error == ()
    assert episode.seconds == pytest.approx(0.84)
    assert first.threads >= 1 and first.ended >= first.began > 0
    assert folder.machines[first.run]['versions']['python']


def test_more_seeds_and_entries_run_only_what_is_missing(tmp_path):
    work(tmp_path, [DENSE, MOTION], range(3))
    log, _ = work(tmp_path, [DENSE, MOTION, RANDOM], range(4))
    assert Counter(log) == {'r': 4, 'dense': 1, 'm': 1}
    assert work(tmp_path, [DENSE, MOTION, RANDOM], range(4))[0] == []


def test_a_torn_last_line_is_ignored_with_a_notice_and_its_episode_run_again(tmp_path, capsys):
    work(tmp_path, [DENSE, MOTION], range(2))
    (file,) = tmp_path.glob('episodes/*.jsonl')
    file.write_bytes(file.read_bytes()[:-20])
    capsys.readouterr()
    log, _ = work(tmp_path, [DENSE, MOTION], range(2))
    assert len(log) == 1
    assert f'{file.name}: ignored an incomplete last line' in capsys.readouterr().err
    folder = ComparisonFolder(tmp_path)
    assert {seed for _, _, seed in folder.records} == {0, 1} and len(folder.records) == 4


def test_a_damaged_line_within_a_file_is_refused_by_name(tmp_path):
    work(tmp_path, [DENSE], range(2))
    (file,) = tmp_path.glob('episodes/*.jsonl')
    file.write_text(file.read_text().replace('"steps"', '"stops"', 1))
    with pytest.raises(ValueError, match=f'{file.name}: expected an episode, found'):
        ComparisonFolder(tmp_path)


def test_a_folder_of_something_else_or_of_other_settings_is_refused(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match="found 'notes.txt'"):
        ComparisonFolder.join(tmp_path, SETTINGS)
    assert [item.name for item in tmp_path.iterdir()] == ['notes.txt']
    ComparisonFolder.join(tmp_path / 'new', SETTINGS).close()
    for name, value in (('checkpoint_fingerprint', 'cd'), ('execute_steps', 8)):
        with pytest.raises(
            ValueError, match=f'made with {name.replace("_", " ")} .* not {value!r}'
        ):
            ComparisonFolder.join(tmp_path / 'new', {**SETTINGS, name: value})
    with pytest.raises(ValueError, match='found no comparison.json'):
        ComparisonFolder(tmp_path / 'other')


def test_a_label_stands_for_one_definition(tmp_path):
    folder = ComparisonFolder.join(tmp_path, SETTINGS)
    folder.register([definition('x', 'motion', 0.5)])
    folder.register([definition('x', 'motion', 0.5), definition('x', 'motion', 0.7)])
    assert len(folder.manifest()['entries']) == 2
    with pytest.raises(ValueError, match="'x at 50 %' was run with gate 'motion', not 'random'"):
        folder.register([definition('x', 'random', 0.5)])
    folder.close()


def _share(path, barrier):
    barrier.wait(60)
    work(path, [DENSE, MOTION], range(12), delay=0.01)


def _hold(path, ready):
    folder = ComparisonFolder.join(path, SETTINGS)
    with folder.claim(3):
        ready.set()
        time.sleep(60)  # until it is killed


@pytest.mark.slow
def test_two_processes_share_the_seeds_without_double_work_or_loss(tmp_path):
    context = multiprocessing.get_context('spawn')
    barrier = context.Barrier(2)
    both = [context.Process(target=_share, args=(tmp_path, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(90)
        assert process.exitcode == 0
    folder = ComparisonFolder(tmp_path)
    assert set(folder.records) == {(n, None, s) for n in ('dense', 'm') for s in range(12)}
    assert lines(tmp_path) == 24
    shares = Counter(record.run for record in folder.records.values())
    assert len(shares) == 2 and min(shares.values()) >= 4


def test_a_claim_keeps_others_off_and_ends_with_its_process(tmp_path):
    context = multiprocessing.get_context('spawn')
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    log, held = work(tmp_path, [DENSE], range(2, 5))
    assert len(log) == 2 and held == 1
    process.kill()
    process.join(30)
    log, held = work(tmp_path, [DENSE], range(2, 5))
    assert len(log) == 1 and held == 0
