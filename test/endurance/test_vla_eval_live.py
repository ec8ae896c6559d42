# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The world of a live run goes on by the times that inferences are said to take."""

from importlib.util import find_spec

import numpy as np
import pytest

if find_spec('vla_eval') is None:
    pytest.skip('vla-eval is not installed: make test-vla-eval', allow_module_level=True)

import anyio
from vla_eval.api import serve_background
from vla_eval.benchmarks.base import StepBenchmark
from vla_eval.benchmarks.base import StepResult
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.runners.live_runner import LiveEpisodeRunner
from vla_eval_live import LiveLibero
from vla_eval_live import summarize
from vla_eval_live import WorldClock
from vla_eval_live import WorldConnection

HOLD = -1.0


class Counting(PredictModelServer):
    """Answer chunks of eight that count up from the number in the observation."""

    def __init__(self):
        super().__init__(chunk_size=8)
        self.steps = []

    def predict(self, obs, ctx):
        self.steps.append(obs['step'])
        return {'actions': np.arange(obs['step'], obs['step'] + 8.0)[:, None]}

    def share(self):
        return 1.0


class Steps(StepBenchmark):
    """Tell which action was executed at which step, for 24 steps."""

    fresh = True

    def reset(self, task):
        self.executed = []

    def step(self, action):
        self.executed.append(float(action['actions'][0]))
        return StepResult(None, 0.0, len(self.executed) == 24, {})

    def make_obs(self, raw_obs, task):
        return {'step': len(self.executed)}

    def get_step_result(self, step_result):
        return {'success': True}

    def get_tasks(self):
        return [{'name': 'count'}]

    def get_hold_action(self, last_action):
        return {'actions': np.array([HOLD])}


def executed(dense, fresh=True):
    """Return the actions of 24 steps at 20 Hz, and the figures, of inferences of dense (s)."""
    server, clock, world = Counting(), WorldClock(), Steps()
    world.fresh = fresh

    async def drive(url):
        async with WorldConnection(url, server, clock, world, dense) as connection:
            runner = LiveEpisodeRunner(hz=20.0, clock=clock)
            return await runner.run_episode(world, {'name': 'count'}, connection)

    with serve_background(server) as handle:
        figures = anyio.run(drive, handle.url)
    return world.executed, figures


def test_an_inference_within_a_period_costs_the_first_step_alone():
    actions, figures = executed(0.049)
    assert actions == [HOLD, *range(1, 24)]  # nothing can be there before the first observation
    assert figures['rt_metrics']['stale_count'] == 1


@pytest.mark.parametrize(('seconds', 'periods'), [(0.051, 2), (0.149, 3), (0.349, 7)])
def test_a_longer_one_costs_its_periods_of_every_chunk_and_what_they_would_have_done(
    seconds, periods
):
    actions, figures = executed(seconds)
    late = range(periods - 1)
    expected = [HOLD if step % 8 in late else step for step in range(24)]
    expected[:periods] = [HOLD] * periods
    assert actions == expected
    assert figures['rt_metrics']['stale_count'] == actions.count(HOLD)
    assert figures['elapsed_sec'] == pytest.approx(23 * 0.05)


def test_a_policy_slower_than_its_chunk_falls_behind():
    actions, _ = executed(0.6)
    assert actions.count(HOLD) > 18
    done = [action for action in actions if action != HOLD]
    assert done and max(done) < 16  # of observations long past


def test_a_picture_that_was_not_rendered_is_not_acted_on():
    with pytest.raises(RuntimeError, match='expected a picture of this step'):
        executed(0.01, fresh=False)


def test_the_arm_stays_and_keeps_its_gripper_without_an_action():
    world = LiveLibero(8, suite='libero_object')
    first = world.get_hold_action(None)['actions']
    np.testing.assert_array_equal(first, [0, 0, 0, 0, 0, 0, -1])
    held = world.get_hold_action({'actions': np.array([0.3] * 6 + [1.0])})['actions']
    np.testing.assert_array_equal(held, [0, 0, 0, 0, 0, 0, 1])


def test_figures_pair_gates_by_seed():
    def episode(seed, gate, success):
        each = {'reuse': [0.5], 'cpu_ms': [2.0], 'dense_cpu_ms': [4.0], 'counted_ms': [30.0]}
        return {
            'seed': seed, 'gate': gate, 'dense_ms': 60.0, 'success': success,
            'steps': 100 + seed, 'stale': 10, **each,
        }  # fmt: skip

    found = [episode(1, 'a', False), episode(0, 'b', True), episode(0, 'a', True)]
    found += [episode(1, 'b', True), episode(2, 'a', True)]  # and not yet 2 of b
    first, second = summarize(found, ('a', 'b'))['rows']
    assert (first['solved'], first['seeds'], first['steps_of_solved']) == (1, [0, 1], 100.0)
    assert second['solved'] == 2 and second['to_first_points'][0] == 50.0
    assert second['mcnemar'][:2] == [1, 0]
    assert first['stale_share'] == pytest.approx(20 / 201)
    assert 'to_first_points' not in first
