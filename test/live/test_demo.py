# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo runs over real ROS 2 processes, to its end, with a model that knows nothing."""

import json
import os

import imageio_ffmpeg
import psutil
import pytest
from rosbags.highlevel import AnyReader
from tiny_model import write_checkpoint
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.evaluation.comparison.compare import load_policy
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.recordings.run import run_bag
from vla_cache_ros.evaluation.recordings.tasks import BagTask
from vla_cache_ros.live.demo import run_demo
from vla_cache_ros.reports.video import CAMERA_SIZE

SEED = 10
STAGES = ('total', 'gate', 'vision', 'decoder', 'decode')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('checkpoint'))


@pytest.fixture(scope='module')
def out(checkpoint, tmp_path_factory):
    """Run the demo once, as `vla-cache demo` does."""
    folder = tmp_path_factory.mktemp('demo')
    run_demo(str(checkpoint), 'motion', 0.5, episodes=1, seed=SEED, out=folder)
    return folder


def test_report_has_the_promised_fields_for_both_runs(out):
    cached = json.loads((out / 'report.json').read_text())
    dense = cached['dense']
    for run in (cached, dense):
        assert run['episodes'] == 1
        assert run['successes'] in (0, 1)
        assert sum(counts['episodes'] for counts in run['tasks'].values()) == 1
        for stage in STAGES:
            assert 0 <= run['latency_ms'][stage]['p50'] <= run['latency_ms'][stage]['p95']
        times = run['ros']['image_to_command_ms']
        assert 0 < times['p50'] <= times['p95'] <= times['worst']
        assert {'hardware', 'versions'} <= set(run)
        (episode,) = run['per_episode']
        # of wall clock: the arm moves in real time, and waits for inferences besides
        assert episode['seconds'] > episode['steps'] / 10
        expected = episode['seconds'] if run['successes'] else None
        assert run['seconds_per_solved'] == expected
    assert (dense['gate'], cached['gate']) == ('dense', 'motion')
    assert dense['reuse_mean'] == 0
    assert 0.3 < cached['reuse_mean'] <= 0.5
    assert dense['tasks'].keys() == cached['tasks'].keys()  # the same instruction
    assert cached['ros']['images'] > 20
    assert cached['ros']['commands'] > 20


def test_bag_holds_what_the_robot_saw_and_was_told(out):
    with AnyReader([out / 'bag']) as reader:
        kinds = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
    assert kinds['/image_raw'] == kinds['/wrist/image_raw'] == 'sensor_msgs/msg/Image'
    assert kinds['/delta_twist_cmds'] == 'geometry_msgs/msg/TwistStamped'
    assert kinds['/instruction'] == kinds['/vla_node/step_report'] == 'std_msgs/msg/String'


@pytest.mark.slow  # real time: a busy machine's recorder loses a frame, and with it a step
def test_offline_actions_on_the_frames_of_the_bag_are_those_of_the_live_node(out, checkpoint):
    entries = [Entry('dense', 'dense'), Entry('motion', 'motion', reuse=0.5)]
    policies = {entry: load_policy(entry, str(checkpoint)) for entry in entries}
    result = run_bag(BagTask(out / 'bag', BagTopics(), Cadence(0.4), 4), policies)
    with AnyReader([out / 'bag']) as reader:
        reports = sum(c.msgcount for c in reader.connections if c.topic.endswith('step_report'))
    assert len(result.steps) == reports > 10
    for entry in entries:
        live = [s.gates[entry.name].live for s in result.steps if s.live_gate == entry.gate]
        assert len(live) > 3
        assert max(live) <= 1e-5
    assert result.damage == '' and [s.episode for s in result.steps][-1] == 1


def test_video_lasts_as_long_as_the_episodes(out):
    facts = next(imageio_ffmpeg.read_frames(str(out / 'demo.mp4')))
    assert facts['codec'] == 'h264'
    assert facts['duration'] > 2


def test_page_holds_video_and_figures(out):
    text = (out / 'report.html').read_text(encoding='utf-8')
    assert 'data:video/mp4;base64,' in text
    assert 'visual tokens reused' in text and 'seconds per solved task' in text


def test_no_process_is_left(out):
    parameter = f'bag_path:={out / "bag"}'
    commands = [process.info['cmdline'] or [] for process in psutil.process_iter(['cmdline'])]
    assert any(commands)
    assert not any(parameter in command for command in commands)


@pytest.mark.slow
def test_a_causal_model_sees_one_camera_and_acts_one_action_at_a_time(tmp_path):
    model = write_checkpoint(tmp_path / 'model', causal=True, layers=1)
    report = run_demo(str(model), 'motion', 0.5, episodes=1, seed=SEED, out=tmp_path / 'out')
    with AnyReader([tmp_path / 'out' / 'bag']) as reader:
        topic = [c for c in reader.connections if c.topic == '/vla_node/step_report']
        texts = [reader.deserialize(raw, c.msgtype).data for c, _, raw in reader.messages(topic)]
    said = [json.loads(text) for text in texts]
    assert said and {(one['cameras'], len(one['actions'])) for one in said} == {(1, 1)}
    assert 0 <= report['passes_mean'] <= 6 and report['reuse_mean'] > 0.3
    facts = next(imageio_ffmpeg.read_frames(str(tmp_path / 'out' / 'demo.mp4')))
    assert facts['size'][0] == 2 * CAMERA_SIZE  # the figures below need the room


def test_policy_that_cannot_load_is_explained_and_everything_ends(checkpoint, tmp_path):
    broken = tmp_path / 'broken'
    broken.mkdir()
    for name in os.listdir(checkpoint):
        (broken / name).write_bytes((checkpoint / name).read_bytes())
    (broken / 'model.safetensors').write_bytes(b'not weights')
    with pytest.raises(ChildProcessError, match='(?s)failed to configure.*model.safetensors'):
        run_demo(str(broken), 'motion', 0.5, episodes=1, seed=SEED, out=tmp_path / 'out')
    assert not (tmp_path / 'out' / 'report.json').exists()


def test_wrong_names_are_refused_before_any_process_starts(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='no_such_model'):
        run_demo('no_such_model', 'motion', 0.5, 1, SEED, tmp_path / 'out')
    with pytest.raises(ValueError, match='telepathy'):
        run_demo(str(checkpoint), 'telepathy', 0.5, 1, SEED, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_folder_that_is_no_bag_is_left_alone(checkpoint, tmp_path):
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'photos.zip').write_text('dear to someone')
    with pytest.raises(ValueError, match='choose another --out'):
        run_demo(str(checkpoint), 'motion', 0.5, 1, SEED, tmp_path)
    assert (tmp_path / 'bag' / 'photos.zip').exists()
