# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A report shows what a gate chose, beside what dense would have done and where the arm was."""

from dataclasses import replace
import json
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import imageio_ffmpeg
import numpy as np
from PIL import Image
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.cli.main import main
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.episode.figures import inference_record
from vla_cache_ros.evaluation.episode.figures import phase_figures
from vla_cache_ros.evaluation.episode.figures import phase_line
from vla_cache_ros.evaluation.episode.report import run_report
from vla_cache_ros.evaluation.episode.report import video_frames
from vla_cache_ros.evaluation.episode.strip import CAMERA_GAP
from vla_cache_ros.evaluation.episode.strip import columns
from vla_cache_ros.evaluation.episode.strip import draw_strip
from vla_cache_ros.evaluation.episode.strip import GAP
from vla_cache_ros.evaluation.episode.strip import LEFT
from vla_cache_ros.evaluation.episode.strip import PANEL
from vla_cache_ros.evaluation.episode.strip import strip_size
from vla_cache_ros.evaluation.episode.strip import TOP
from vla_cache_ros.evaluation.episode.trace import Inference
from vla_cache_ros.evaluation.episode.trace import record_episode
from vla_cache_ros.evaluation.episode.trace import Trace
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepPlan
from vla_cache_ros.types import StepReport

SEED = 40
TOKENS = 512
INFERENCE_FIELDS = {
    'step', 'time_s', 'phase', 'height_m', 'clearance_m', 'reuse', 'ratio', 'refresh', 'active',
    'active_by_score', 'age_mean', 'age_max', 'score_quantiles', 'action_difference',
    'translation_difference_mm', 'latency_ms', 'dense_ms',
}  # fmt: skip


class ScriptedGate:
    """Score tokens by their number; recompute the upper half and token 0."""

    name, probe_layers, ratio = 'scripted', (), 0.5

    def plan(self, pixels, cache):
        active = np.arange(TOKENS) >= TOKENS // 2
        active[0] = True
        return StepPlan(active, scores=np.arange(TOKENS, dtype=np.float32))


class ScriptedPolicy:
    """Move by a constant; refresh at the first step of an episode, then follow the gate."""

    def __init__(self, action):
        self.gate, self.action, self.observations = ScriptedGate(), np.array(action), []
        self.images = SimpleNamespace(see=tuple)

    def reset(self, cause='episode_reset'):
        self.step = 0

    def act(self, observation):
        self.observations.append(observation)
        plan = self.gate.plan(None, None)
        refresh = '' if self.step else 'episode_reset'
        active = np.ones(TOKENS, bool) if refresh else plan.active
        actions = np.tile(self.action, (8, 1))
        report = StepReport(
            self.step, 'scripted', 1 - active.mean(), active, np.where(active, 0, 3), refresh,
            {'gate': 1.0, 'decoder': 9.0, 'total': 10.0},
        )  # fmt: skip
        self.step += 1
        return ActionChunk(actions, 10 * actions), report


@pytest.fixture(scope='module')
def env():
    tabletop = Tabletop()
    yield tabletop
    tabletop.close()


@pytest.fixture
def watched(env, monkeypatch):
    """Record three inferences of a policy that is 3 mm and 4 mm off dense."""
    monkeypatch.setattr(Tabletop, 'max_steps', 10)
    policy = ScriptedPolicy([0.003, 0.004, -0.01, 0, 0, 0, 1.0])
    dense = ScriptedPolicy([0.0, 0.0, -0.01, 0, 0, 0, 1.0])
    trace = record_episode(policy, dense, env, SEED)
    return SimpleNamespace(policy=policy, dense=dense, trace=trace)


def inference(**changes):
    report = StepReport(1, 'scripted', 0.5, np.ones(TOKENS, bool), np.zeros(TOKENS, int))
    value = Inference(
        step=4, time=0.4, report=report, ratio=None, active=np.ones(TOKENS, bool), scores=None,
        difference=0.0, translation=0.0, dense_ms=1.0, phase='quiet', height=0.1, clearance=0.1,
    )  # fmt: skip
    reuse, refresh = changes.pop('reuse', 0.5), changes.pop('refresh', '')
    return replace(value, report=replace(report, reuse=reuse, refresh=refresh), **changes)


def trace_of(seed, inferences):
    reuse = tuple(i.report.reuse for i in inferences)
    episode = Episode(seed, 'pick_red', True, 8, reuse, (), (), 1.0)
    return Trace(episode, 'pick up the red cube', 0.8, tuple(inferences))


def test_dense_is_asked_about_the_same_images_and_never_executed(watched, env):
    trace = watched.trace
    assert [i.step for i in trace.inferences] == [0, 4, 8]
    assert all(
        a is b
        for a, b in zip(watched.policy.observations, watched.dense.observations, strict=True)
    )
    moved = env.tcp() - watched.policy.observations[0].proprio[:3]
    assert moved[1] > 0.02  # dense would not have moved sideways at all
    assert trace.inferences[1].translation == pytest.approx(5.0)  # mm: 3, 4, 5
    assert trace.inferences[1].difference == pytest.approx((0.03 + 0.04) / 7)


def test_every_control_step_is_filmed_and_carries_its_latest_inference(watched):
    trace = watched.trace
    assert len(trace.pictures) == 11
    for i in trace.inferences:
        seen = watched.policy.observations[i.step // 4].images
        assert np.array_equal(trace.pictures[i.step][0], seen[0])
    frames = list(video_frames(trace))
    assert [int(frame.active.sum()) for frame in frames] == [512] * 4 + [257] * 7
    assert [frame.result for frame in frames] == [''] * 10 + ['not done']


def test_the_gate_is_itself_again_after_the_episode(watched):
    assert 'plan' not in vars(watched.policy.gate)


def test_full_refresh_has_no_scores_whatever_the_gate_planned(watched):
    first, second, _ = watched.trace.inferences
    assert first.active.all() and first.scores is None and first.ratio is None
    assert second.scores is not None and second.ratio == 0.5


def test_tokens_recomputed_in_spite_of_their_score_are_told_apart(watched):
    by_score = watched.trace.inferences[1].by_score
    assert by_score.sum() == 256 and not by_score[0]
    equal = inference(scores=np.zeros(TOKENS), active=np.arange(TOKENS) < 100)
    assert not equal.by_score.any()  # a draw was not won by the score


def test_record_of_an_inference_holds_the_figures_per_camera(watched):
    record = inference_record(watched.trace.inferences[1], 2)
    assert set(record) == INFERENCE_FIELDS
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record['step'], record['time_s']) == (4, pytest.approx(0.4))
    assert record['active'] == [1, 256] and record['active_by_score'] == 256
    assert record['age_max'] == 3 and record['age_mean'] == pytest.approx(3 * 255 / 512)
    assert record['score_quantiles']['min'] == 0 and record['score_quantiles']['max'] == 511
    assert inference_record(inference(), 2)['score_quantiles'] is None


def test_strip_has_at_most_twelve_columns_and_always_the_first():
    assert columns(1) == [0] and columns(5) == [0, 1, 2, 3, 4]
    many = columns(100)
    assert len(many) == 12 and (many[0], many[-1]) == (0, 99)
    assert len(set(np.diff(many))) <= 2


def test_strip_shows_image_shading_and_scores_of_every_camera(watched):
    strip = draw_strip(watched.trace, ('front', 'wrist'))
    assert strip.size == strip_size(3, 2)
    pixels = np.asarray(strip).astype(int)

    def panel(column, row):
        x = LEFT + column * (PANEL + GAP)
        y = TOP + row * (PANEL + GAP) + row // 3 * CAMERA_GAP
        return pixels[y : y + PANEL, x : x + PANEL]

    cell = PANEL // 16
    assert np.array_equal(panel(0, 0), panel(0, 1))  # the refresh reused nothing
    changed = (panel(1, 0) != panel(1, 1)).any(axis=-1)
    assert not changed[:cell, :cell].any()  # token 0 was recomputed
    assert changed[cell:].mean() > 0.95
    assert np.array_equal(panel(1, 3), panel(1, 4))  # all of the wrist camera
    corner = panel(0, 2)[:cell, :cell]
    assert (corner == corner[0, 0]).all()  # the grey panel of a step without scores
    assert panel(1, 5).mean() > panel(1, 2).mean() + 30  # higher scores are brighter


def test_strip_of_a_gate_without_scores_says_so_and_keeps_its_shape(watched):
    bare = [replace(i, scores=None) for i in watched.trace.inferences]
    strip = draw_strip(replace(watched.trace, inferences=tuple(bare)), ('front', 'wrist'))
    assert strip.size == strip_size(3, 2)


def test_strip_needs_pictures(watched):
    with pytest.raises(ValueError, match='expected an episode with its pictures'):
        draw_strip(replace(watched.trace, pictures=()), ('front', 'wrist'))


def test_phases_are_compared_within_episodes_and_refreshes_set_apart():
    traces = [
        trace_of(seed, [
            inference(reuse=0.0, refresh='episode_reset'),
            inference(reuse=0.9 + shift),
            inference(reuse=0.6 + shift, phase='contact'),
        ])
        for seed, shift in ((1, 0.0), (2, 0.02), (3, -0.02))
    ]  # fmt: skip
    traces.append(trace_of(4, [inference(reuse=0.1)]))  # never in contact: no pair
    figures = phase_figures(traces)
    cached, every = figures['cached'], figures['all']
    assert [pair['seed'] for pair in cached['per_episode']] == [1, 2, 3]
    assert cached['difference'] == pytest.approx(0.3)
    assert cached['difference_ci95'] == pytest.approx([0.3, 0.3])
    assert cached['quiet'] == {'mean': pytest.approx((0.9 * 3 + 0.1) / 4), 'inferences': 4}
    assert every['difference'] == pytest.approx(0.45 - 0.6)
    assert figures['chosen']['difference'] is None  # this gate does not choose
    assert 'difference +30.0 points (95 % +30.0 to +30.0, 3 episodes)' in phase_line(cached)


def test_phases_without_a_pair_have_no_difference():
    figures = phase_figures([trace_of(1, [inference()])])['cached']
    assert figures['difference'] is None and figures['contact']['mean'] is None
    assert 'contact: none' in phase_line(figures)


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    """Write a report of two short episodes, as `vla-cache report` does."""
    folder = tmp_path_factory.mktemp('report')
    checkpoint = write_checkpoint(tmp_path_factory.mktemp('model'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tabletop, 'max_steps', 12)
        run_report(str(checkpoint), 'motion', 0.5, 2, SEED, folder / 'new')
    return folder / 'new'


def test_report_has_every_inference_of_every_episode(out):
    figures = json.loads((out / 'report.json').read_text())
    assert (figures['gate'], figures['episodes'], figures['seeds']) == ('motion', 2, [40, 41])
    for episode in figures['per_episode']:
        first, *others = episode['trace']
        assert set(first) == INFERENCE_FIELDS
        assert first['refresh'] == 'episode_reset' and first['action_difference'] < 1e-6
        assert len(others) == 2
        assert all(sum(record['active']) == 256 for record in others)
        assert all(record['score_quantiles'] for record in others)
        assert all(record['action_difference'] > 0 for record in others)
    assert {'chosen', 'cached', 'all'} == set(figures['phases'])


def test_page_is_self_contained(out):
    text = (out / 'report.html').read_text(encoding='utf-8')
    assert 'data:video/mp4;base64,' in text and 'data:image/png;base64,' in text
    assert text.count('<svg') == 2  # over time, and phases
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert '<script' not in text


def test_pictures_and_video_open(out):
    with Image.open(out / 'strip.png') as strip:
        assert strip.size == strip_size(3, 2)
    facts = next(imageio_ffmpeg.read_frames(str(out / 'episode.mp4')))
    assert facts['duration'] == pytest.approx(1.3, abs=0.05)  # 12 steps and the start, 10 a second
    assert ElementTree.parse(out / 'phases.svg').getroot().tag.endswith('svg')


def test_mistakes_are_one_line_and_leave_nothing_behind(tmp_path):
    taken = tmp_path / 'taken'
    taken.write_text('dear to someone')
    with pytest.raises(ValueError, match='out: expected a folder or a new name, found a file'):
        run_report('tabletop', 'motion', 0.5, 1, SEED, taken)
    with pytest.raises(ValueError, match="'telepathy'"):
        run_report('tabletop', 'telepathy', None, 1, SEED, tmp_path / 'out')
    with pytest.raises(ValueError, match='episodes: expected at least 1, got 0'):
        run_report('tabletop', 'motion', None, 0, SEED, tmp_path / 'out')
    assert taken.read_text() == 'dear to someone' and not (tmp_path / 'out').exists()


def test_command_hands_over_to_the_report(tmp_path, capsys):
    (tmp_path / 'taken').touch()
    assert main(['report', '--out', str(tmp_path / 'taken')]) == 2
    assert 'expected a folder or a new name' in capsys.readouterr().err
