# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates are measured against dense along recordings, and what went wrong with a bag is told."""

import json
import re
from types import SimpleNamespace

from bag_samples import live
from bag_samples import MS
from bag_samples import recording
from bag_samples import report
from bag_samples import START
from bag_samples import storage_file
from bag_samples import strange
from bag_samples import write_bag
from fake_policy import FakePolicy
from lerobot_folders import robot_folder
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings.evaluate import run_bags
from vla_cache_ros.evaluation.recordings.figures import bag_figures
from vla_cache_ros.evaluation.recordings.figures import live_lines
from vla_cache_ros.evaluation.recordings.moments import COUNT
from vla_cache_ros.evaluation.recordings.run import run_bag
from vla_cache_ros.evaluation.recordings.steps import gate_step
from vla_cache_ros.evaluation.recordings.tasks import BagTask
from vla_cache_ros.fleet.local import LocalProcesses
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.vla.actions import Bounds

DENSE, OTHER = Entry('dense', 'dense'), Entry('other', 'other')


def bounds(low, high):
    low = np.asarray(low, float)
    return Bounds(low, np.asarray(high, float), np.ones(len(low), bool))


class Recorded(FakePolicy):
    """A fake policy with the statistics that a comparison asks for."""

    statistics = SimpleNamespace(
        action=bounds([-1] * 6 + [0], [1] * 7), proprio=bounds([0] * 8, [2] * 8)
    )


def task(path, **other):
    fields = {'topics': BagTopics(), 'cadence': Cadence(0.4), 'executed': 4} | other
    return BagTask(path, **fields)


def policies():
    """Return a dense policy and one that goes 1 mm further along x and closes the gripper."""
    dense, other = Recorded(), Recorded()
    other.action = dense.action + np.array([0.001, 0, 0, 0, 0, 0, -1.0])
    return {DENSE: dense, OTHER: other}


def test_difference_is_what_the_arm_is_off_when_it_looks_again():
    dense = np.zeros((8, 7))
    ours = dense.copy()
    ours[:, 0] = [0.003, -0.001, 0.003, -0.001] + [1.0] * 4  # the last four are not executed
    ours[:, 4] = np.radians(2)
    ours[1, 6] = 0.9
    said = FakePolicy().act(None)[1]
    found = gate_step((ActionChunk(ours, ours / 2), said), ActionChunk(dense, dense), 4, 0.5)
    assert found.millimetres == pytest.approx(4.0)
    assert found.degrees == pytest.approx(8.0)
    assert found.flips == 1
    assert found.absolute.shape == (4, 7)
    assert found.absolute[:, 0] == pytest.approx([0.003, 0.001, 0.003, 0.001])
    assert found.normalized == pytest.approx(np.abs(ours[:4] / 2).mean())


def test_every_policy_sees_the_recorded_observations_and_the_figures_tell_them_apart(tmp_path):
    actors = policies()
    result = run_bag(task(write_bag(tmp_path / 'bag', recording(2))), actors)
    assert len(result.steps) == 5
    dense, other = (policy.observations[1:] for policy in actors.values())  # the first warms up
    assert all(a is b for a, b in zip(dense, other, strict=True)) and len(dense) == 5
    assert actors[OTHER].resets == ['episode_reset']
    figures = bag_figures([result], ['dense', 'other'])
    gate = figures['gates'][1]
    assert gate['displacement_mm']['mean'] == pytest.approx(4.0)
    assert gate['action_error']['x'] == pytest.approx({'mean': 0.001, 'p95': 0.001})
    assert gate['gripper_flips'] == 1.0
    assert gate['reuse_mean'] == 0.5 and gate['age_max'] == 1
    assert gate['latency_ratio']['p50'] == 1.0
    assert figures['observations'] == 5 and figures['episodes'] == 1
    assert figures['gates'][0]['displacement_mm']['max'] == 0
    assert live_lines(figures) == []


def test_live_actions_are_compared_where_the_same_gate_ran(tmp_path):
    def said(step, ms, action, gate):
        stamps = [START + ms * MS] * 2
        return (ms + 100, report(1, step, stamps, stamps, gate=gate, actions=[action] * 8))

    same = FakePolicy().action.tolist()
    other = (np.array(same) + 0.5).tolist()
    messages = live(
        [said(0, 400, same, 'dense'), said(1, 800, other, 'dense'), said(0, 1200, same, 'x')]
    )
    result = run_bag(task(write_bag(tmp_path / 'bag', messages)), policies())
    assert [step.gates['dense'].live for step in result.steps] == [0, pytest.approx(0.5), None]
    assert result.chosen_live
    lines = live_lines(bag_figures([result], ['dense', 'other']))
    assert len(lines) == 1 and 'at 1 of them' in lines[0]


def test_inference_is_told_of_the_chunk_before_what_the_live_one_was(tmp_path):
    stamps = [[START + ms * MS] * 2 for ms in (400, 800, 1200, 1600)]
    chunk = (np.arange(8.0)[:, None] * np.ones(7)).tolist()
    same = [FakePolicy().action.tolist()] * 8

    def said(index, step, **other):
        at = stamps[index]
        return (400 * index + 500, report(1, step, at, at, **other))

    messages = live(
        [
            said(0, 0, actions=chunk),
            said(1, 1, actions=same, rest=5, delay=2),
            said(2, 3, actions=same, rest=5, delay=2),  # the report before it is lost
            said(3, 4, actions=same, rest=9, delay=2),  # more than there was
        ]
    )
    actors = policies()
    result = run_bag(task(write_bag(tmp_path / 'bag', messages)), actors)
    first, second, *others = actors[OTHER].left[1:]  # the first warms up
    assert first == (None, 0) and others == [(None, 0)] * 2
    assert second[0][:, 0].tolist() == [3, 4, 5, 6, 7] and second[1] == 2
    # where it was told otherwise the live actions are no measure
    assert [s.gates['dense'].live for s in result.steps] == [pytest.approx(7.02), 0, None, None]


def test_a_gap_within_an_episode_drops_the_cache_as_it_does_live(tmp_path):
    messages = recording(1)
    later = [(time + 6 * 10**9, topic, message) for time, topic, message in recording(1)]
    for _, topic, message in later:
        if topic != '/instruction':
            message.header.stamp.sec += 6
    reports = []
    for step, ms in enumerate((400, 6400)):
        stamps = [START + ms * MS] * 2
        reports.append((ms + 100, report(1, step, stamps, stamps)))
    actors = policies()
    run_bag(task(write_bag(tmp_path / 'bag', live(reports, messages + later))), actors)
    assert actors[OTHER].resets == ['episode_reset', 'gap_too_long']


def test_what_follows_a_correction_begins_with_a_fresh_cache_as_it_does_live(tmp_path):
    reports = []
    for step, who in enumerate(('policy', 'person', 'person', 'policy', 'policy')):
        stamps = [START + 200 * step * MS] * 2
        reports.append((200 * step + 60, report(1, step, stamps, stamps, control=who)))
    actors = policies()
    result = run_bag(task(write_bag(tmp_path / 'bag', live(reports))), actors)
    assert len(result.steps) == 5 and len({step.episode for step in result.steps}) == 1
    assert actors[OTHER].resets == ['episode_reset', 'handed_back']


def test_worst_moments_are_the_worst_ones_with_both_actions_and_a_picture(tmp_path):
    actors = policies()
    shift = {}

    def act(observation, inner=actors[OTHER].act):
        chunk, said = inner(observation)
        shift[len(shift)] = off = 0.001 * (len(shift) % 7)
        actions = actors[DENSE].action + np.array([off, 0, 0, 0, 0, 0, 0])
        return ActionChunk(np.tile(actions, (8, 1)), np.tile(actions, (8, 1))), said

    actors[OTHER].act = act
    folder = write_bag(tmp_path / 'bag', recording(8))
    moments = run_bag(task(folder), actors).moments
    sizes = [moment.found.millimetres for moment in moments]
    assert len(moments) == COUNT
    assert sizes == sorted(sizes, reverse=True)
    expected = sorted((4e3 * off for index, off in shift.items() if index), reverse=True)[:COUNT]
    assert sizes == pytest.approx(expected)
    first = moments[0]
    assert first.picture.startswith(b'\xff\xd8')  # JPEG
    assert (first.actions - first.dense)[:, 0] == pytest.approx([0.006] * 4)
    assert (first.bag, first.instruction) == (str(folder), 'put it there')


@pytest.mark.parametrize(
    ('other', 'expected'),
    [
        ({}, '--state middle'),
        ({'executed': 9}, '--execute-steps of at most 8'),
        ({'topics': BagTopics(('/cam',), text='wave'), 'named_images': True}, '2 --image-topic'),
        ({'topics': BagTopics()}, '--instruction'),
    ],
)
def test_what_a_bag_lacks_is_told_in_one_line(tmp_path, other, expected):
    folder = write_bag(tmp_path / 'bag', strange())
    fields = {'topics': BagTopics(('/cam', '/cam2'), text='wave')} | other
    with pytest.raises(ValueError) as error:
        run_bag(task(folder, **fields), policies())
    assert expected in str(error.value) and '\n' not in str(error.value)


def test_the_middle_of_the_range_stands_in_for_a_state(tmp_path):
    folder = write_bag(tmp_path / 'bag', strange())
    actors = policies()
    topics = BagTopics(('/cam', '/cam2'), text='wave')
    run_bag(task(folder, topics=topics, state='middle'), actors)
    assert actors[DENSE].observations[1].proprio == pytest.approx([1.0] * 8)


def test_without_any_observation_the_reason_is_told(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(1))
    with pytest.raises(ValueError, match='no observation could be made: .*expected the joints t'):
        run_bag(task(folder, topics=BagTopics(finger_joints=('thumb', 'index'))), policies())


def test_a_state_of_another_size_than_the_models_is_refused_with_both_numbers(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(1))
    with pytest.raises(ValueError, match=r'finger_joints: expected 2, .* 8 .* got 1 \(thumb\)'):
        run_bag(task(folder, topics=BagTopics(finger_joints=('thumb',))), policies())


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'))


def test_several_bags_become_one_report_and_a_broken_one_stops_no_other(
    checkpoint, tmp_path, capsys
):
    first = write_bag(tmp_path / 'first', recording(1))
    second = write_bag(tmp_path / 'second', recording(1, instruction='and back'), 'sqlite3')
    (first / 'metadata.yaml').unlink()
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'no recording')
    tasks = [task(path) for path in (first, broken, second)]
    out = tmp_path / 'out'
    figures = run_bags(tasks, str(checkpoint), ['motion'], [0.3, 0.6], out, processes=1)
    assert json.loads((out / 'report.json').read_text()) == json.loads(json.dumps(figures))
    names = [gate['name'] for gate in figures['gates']]
    assert names == ['dense', 'motion at 30 %', 'motion at 60 %']
    assert [bag['damage'] for bag in figures['bags']] == ['metadata.yaml is missing', '']
    assert list(figures['failed']) == [str(broken)]
    assert figures['observations'] == 6
    assert figures['gates'][1]['reuse_mean_cached'] == pytest.approx(0.3, abs=0.01)
    assert figures['gates'][2]['displacement_mm']['mean'] > 0
    assert {'hardware', 'versions', 'checkpoint_fingerprint'} <= set(figures)
    page = (out / 'report.html').read_text(encoding='utf-8')
    for part in (
        'and back',
        'metadata.yaml is missing',
        'broken.mcap',
        '<svg',
        'image/jpeg;base64',
    ):
        assert part in page
    assert 'src="http' not in page and 'href="http' not in page
    printed = capsys.readouterr()
    assert 'motion at 60 %' in printed.out and 'broken.mcap: not evaluated' in printed.err


def test_actions_and_states_of_any_length_are_compared_without_taking_them_for_poses(tmp_path):
    folder = robot_folder('pi0', tmp_path, ['high', 'wrist'], state=14, action=14)
    topics = BagTopics(arm_joints=('finger_joint1', 'finger_joint2') * 7, finger_joints=())
    bag = task(write_bag(tmp_path / 'bag', recording(1)), topics=topics)
    figures = run_bags([bag], str(folder), ['motion'], [0.3], tmp_path / 'out', processes=1)
    gate = figures['gates'][1]
    assert gate['displacement_mm'] is None and gate['displacement_degrees'] is None
    assert list(gate['action_error']) == [str(number) for number in range(1, 15)]
    assert gate['action_error_normalized']['mean'] > 0
    (episode,) = figures['bags'][0]['episodes']
    assert episode['action_error_normalized']['motion at 30 %'] > 0
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'normalised off, mean' in page and 'mm off' not in page


def test_what_is_done_with_pictures_is_said_and_so_is_a_camera_without_colour(
    checkpoint, tmp_path, capsys
):
    messages = recording(2)
    for _, topic, message in messages:
        if topic == '/wrist/image_raw':
            message.encoding, message.step = 'mono8', message.width
            message.data = message.data[: message.width * message.height]
    bag = write_bag(tmp_path / 'bag', messages)
    changes = {'center_crop': 0.5, 'rotation': (90, 0)}
    figures = [
        run_bags([task(bag)], str(checkpoint), ['motion'], [], tmp_path / name, 1, images=images)
        for name, images in (('plain', None), ('changed', changes))
    ]
    assert figures[1]['images'].startswith('camera 0: turned by 90 degrees, squash to 224')
    assert 'assumed' in figures[0]['images'] and 'assumed' not in figures[1]['images']
    gray = [note for note in figures[0]['bags'][0]['notes'] if 'without colour' in note]
    assert len(gray) == 1 and gray[0].startswith('/wrist/image_raw')
    printed = capsys.readouterr().out
    assert printed.count('centre crop 0.5') == 2 and printed.count(gray[0]) == 2
    first, second = (one['bags'][0]['steps'] for one in figures)
    assert first != second


class Stub:
    """Run the first few tasks, then be interrupted; note which were given."""

    processes, status = 1, ''

    def __init__(self, inner, stop=None):
        self.inner, self.stop, self.given = inner, stop, []

    def run(self, job, tasks):
        self.given += tasks
        yield from self.inner.run(job, tasks[: self.stop])
        if self.stop is not None:
            raise KeyboardInterrupt


def without_plots(page):
    """Return a page's text without its plots, which say when they were drawn."""
    return re.sub('<svg.*?</svg>', '', page.read_text(encoding='utf-8'), flags=re.DOTALL)


def test_an_evaluation_that_was_cut_off_goes_on_and_reports_the_same(checkpoint, tmp_path, capsys):
    tasks = [task(write_bag(tmp_path / name, recording(1))) for name in ('first', 'second')]
    out, gates = tmp_path / 'out', ['motion']

    def evaluate(runner, other=(0.5,), **options):
        return run_bags(tasks, str(checkpoint), gates, other, out, runner=runner, **options)

    local = LocalProcesses(1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Stub(local, stop=1))
    rest = Stub(local)
    figures = evaluate(rest)
    assert [t.path.name for t in rest.given] == ['second']
    assert '1 of 2 bags were evaluated before' in capsys.readouterr().out
    page = without_plots(out / 'report.html')
    again = Stub(local)
    assert evaluate(again) == figures and again.given == []
    assert without_plots(out / 'report.html') == page  # pictures and actions too
    assert 'image/jpeg;base64' in page
    other = Stub(local, stop=0)
    with pytest.raises(KeyboardInterrupt):
        evaluate(other, (0.6,))  # another option is another result
    assert len(other.given) == 2


def test_a_kept_result_that_is_damaged_or_whose_bag_changed_is_made_anew(checkpoint, tmp_path):
    bag = task(write_bag(tmp_path / 'bag', recording(1)))
    arguments = (str(checkpoint), ['motion'], [], tmp_path / 'out')
    run_bags([bag], *arguments, processes=1)
    (kept,) = (tmp_path / 'out' / 'results').iterdir()
    kept.write_text('{"result": {"path": "x"}, "machine": {}}')
    runner = Stub(LocalProcesses(1))
    run_bags([bag], *arguments, runner=runner)
    assert len(runner.given) == 1 and len(kept.read_text()) > 1000
    storage_file(bag.path).touch()
    runner = Stub(LocalProcesses(1), stop=0)
    with pytest.raises(KeyboardInterrupt):
        run_bags([bag], *arguments, runner=runner)
    assert len(runner.given) == 1


@pytest.mark.slow
def test_two_processes_share_the_bags_and_give_the_same(checkpoint, tmp_path):
    tasks = [task(write_bag(tmp_path / name, recording(1))) for name in ('first', 'second')]
    figures = run_bags(tasks, str(checkpoint), ['motion'], [], tmp_path / 'out', processes=2)
    first, second = ([s['gates']['motion'] for s in bag['steps']] for bag in figures['bags'])
    assert [s['displacement_mm'] for s in first] == [s['displacement_mm'] for s in second]
    assert len(first) == 3 and first[1]['displacement_mm'] > 0


def test_arguments_are_checked_before_anything_is_read(checkpoint, tmp_path):
    tasks = [task(tmp_path / 'none')]
    with pytest.raises(ValueError, match='telepathy'):
        run_bags(tasks, str(checkpoint), ['telepathy'], [], tmp_path / 'out')
    with pytest.raises(ValueError, match='dtype'):
        run_bags(tasks, str(checkpoint), ['motion'], [], tmp_path / 'out', dtype='float8')
    assert not (tmp_path / 'out').exists()
