# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the closed loop to its order of events, and its figures to what was counted."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.evaluation.closed_loop import evaluate
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.closed_loop import run_evaluate
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.closed_loop import table
from vla_cache_ros.evaluation.settings import ClosedLoop
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport


class CountingEnv:
    """Succeed after `needed` steps; seeds alternate between two tasks."""

    max_steps = 10
    execute_steps = 4
    control_frequency = 10.0

    def __init__(self, needed):
        self.needed = needed
        self.log = []

    def reset(self, seed, task=None):
        self.steps = 0
        self.task = SimpleNamespace(name=f'task_{seed % 2}')
        self.log.append(('reset', seed))
        return self.observe()

    def observe(self):
        self.log.append(('observe', self.steps))
        return Observation((np.zeros((224, 224, 3), np.uint8),), 'go', None)

    def step(self, action):
        self.steps += 1
        self.log.append(('step', float(action[0])))

    def success(self):
        return self.steps >= self.needed


class ScriptedPolicy:
    """Return numbered actions; the first inference of an episode is a full refresh."""

    def __init__(self, log, chunk=8):
        self.log, self.chunk, self.calls = log, chunk, 0

    def reset(self, cause='episode_reset'):
        self.step = 0
        self.log.append(('policy_reset', cause))

    def act(self, observation):
        self.calls += 1
        self.log.append(('act', self.step))
        actions = np.arange(self.chunk * 7, dtype=np.float64).reshape(self.chunk, 7)
        report = StepReport(
            step=self.step,
            gate='fake',
            reuse=0.0 if self.step == 0 else 0.6,
            active=np.ones(256, bool),
            ages=np.zeros(256, int),
            refresh='episode_reset' if self.step == 0 else '',
            latency_ms={'total': 1000.0 if self.calls == 1 else 10.0, 'gate': 1.0},
        )
        self.step += 1
        return ActionChunk(actions, actions), report


def test_loop_observes_infers_executes_four_and_observes_again():
    env = CountingEnv(needed=6)
    episode = run_episode(ScriptedPolicy(env.log), env, seed=3)
    events = [name for name, _ in env.log]
    assert events == (
        ['reset', 'observe', 'policy_reset', 'act']
        + ['step'] * 4
        + ['observe', 'act']
        + ['step'] * 2
    )
    assert [value for name, value in env.log if name == 'step'] == [0, 7, 14, 21, 0, 7]
    assert episode.success and episode.steps == 6 and len(episode.reuse) == 2


def test_step_limit_cuts_the_last_chunk_and_counts_as_failure():
    env = CountingEnv(needed=99)
    episode = run_episode(ScriptedPolicy(env.log), env, seed=0)
    assert not episode.success and episode.steps == 10 and len(episode.reuse) == 3


def test_models_of_single_actions_are_asked_at_every_step():
    env = CountingEnv(needed=3)
    episode = run_episode(ScriptedPolicy(env.log, chunk=1), env, seed=0)
    assert episode.steps == 3 and len(episode.reuse) == 3


def test_episodes_take_consecutive_seeds_whatever_the_policy():
    env = CountingEnv(needed=5)
    episodes = evaluate(ScriptedPolicy(env.log), env, range(7, 11), progress=False)
    assert [episode.seed for episode in episodes] == [7, 8, 9, 10]
    assert [value for name, value in env.log if name == 'reset'] == [7, 8, 9, 10]


def figures(needed=5, warmup=1):
    env = CountingEnv(needed)
    episodes = evaluate(ScriptedPolicy(env.log), env, range(4), progress=False)
    return summarize(episodes, 'fake', warmup=warmup, reuse=0.6)


def test_reuse_mean_includes_full_refreshes():
    # two inferences an episode: 0.0 at the refresh, 0.6 after it
    assert figures()['reuse_mean'] == pytest.approx(0.3)
    assert figures()['refreshes'] == {'episode_reset': 4}


def test_warm_up_is_left_out_of_latency_and_said():
    result = figures(warmup=1)
    assert result['latency_ms']['total'] == {'p50': 10.0, 'p95': 10.0}
    assert result['latency_warmup_skipped'] == 1
    assert figures(warmup=0)['latency_ms']['total']['p95'] > 10


def test_json_has_the_fields_that_outside_checks_read(tmp_path):
    path = tmp_path / 'figures.json'
    write_json(path, figures())
    read = json.loads(path.read_text())
    assert read['episodes'] == read['successes'] == 4
    assert read['tasks'] == {
        'task_0': {'episodes': 2, 'successes': 2},
        'task_1': {'episodes': 2, 'successes': 2},
    }
    assert set(read['latency_ms']) >= {'total', 'gate', 'vision', 'decoder', 'decode'}
    assert read['latency_ms']['vision'] == {'p50': None, 'p95': None}  # not measured, not free
    assert read['success_ci95'][1] == 1.0 and read['success_ci95'][0] < 0.6
    assert {'gate', 'hardware', 'versions', 'reuse', 'seeds'} <= set(read)
    assert [record['inferences'] for record in read['per_episode']] == [2] * 4
    assert '4 of 4' in table(read) and '30.0 %' in table(read)


def test_seconds_per_solved_task_hold_motion_and_inference():
    result = figures()  # five steps at 10 Hz and two inferences an episode, one of 1 s in all
    assert result['seconds_per_solved'] == pytest.approx((4 * 0.5 + 1.0 + 7 * 0.01) / 4)
    assert result['inference_per_solved'] == pytest.approx((1.0 + 7 * 0.01) / 4)
    seconds = [record['seconds'] for record in result['per_episode']]
    assert seconds == pytest.approx([1.51, 0.52, 0.52, 0.52])
    low, high = result['seconds_per_solved_ci95']
    assert low == pytest.approx(0.52) and high > result['seconds_per_solved']
    assert '0.77 (0.52 to ' in table(result) and 'inference 0.27 s of it' in table(result)


def test_failures_count_in_totals_and_tasks():
    result = figures(needed=99)
    assert result['successes'] == 0 and result['success_ci95'][0] == 0
    assert all(counts['successes'] == 0 for counts in result['tasks'].values())
    # the limit of ten steps and three inferences each, one of them of 1 s
    assert result['per_episode'][1]['seconds'] == pytest.approx(1.03)
    assert result['seconds_per_solved'] is None and 'per solved' not in table(result)


def test_figures_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match='JSON'):
        write_json(tmp_path / 'figures.json', {'value': math.nan})


def test_bad_arguments_fail_before_anything_is_loaded(tmp_path):
    with pytest.raises(ValueError, match='episodes: expected at least 1, got 0'):
        ClosedLoop(episodes=0)
    with pytest.raises(ValueError, match='json: expected a file in an existing folder'):
        run_evaluate(ClosedLoop(json=tmp_path / 'no' / 'x.json'))
    with pytest.raises(ValueError, match='got 0'):
        summarize([], 'dense')


@pytest.mark.parametrize('gate, reuse', [('dense', None), ('motion', 0.5), ('every', 0.5)])
def test_evaluate_drives_the_embedded_robot_and_writes_what_it_prints(
    tmp_path, monkeypatch, capsys, gate, reuse
):
    monkeypatch.setattr(Tabletop, 'max_steps', 12)  # three inferences an episode
    checkpoint = write_checkpoint(tmp_path / 'model')
    path = tmp_path / 'figures.json'
    asked = {'checkpoint': str(checkpoint), 'gate': gate, 'reuse': reuse, 'json': path}
    returned = run_evaluate(ClosedLoop(episodes=2, seed=40, **asked), progress=False)
    read = json.loads(path.read_text())
    assert read == json.loads(json.dumps(returned))
    assert (read['gate'], read['episodes'], read['seeds']) == (gate, 2, [40, 41])
    assert [record['seed'] for record in read['per_episode']] == [40, 41]
    assert [record['inferences'] for record in read['per_episode']] == [3, 3]
    # of three inferences an episode the first is a full refresh
    assert read['reuse_mean'] == pytest.approx(0 if gate == 'dense' else 1 / 3)
    assert all(stage['p50'] > 0 for stage in read['latency_ms'].values())
    assert f'gate {gate}: 0 of 2 succeeded' in capsys.readouterr().out
