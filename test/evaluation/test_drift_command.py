# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vla-cache drill drift`: what it breaks and counts, and that the guard catches a broken gate."""

from itertools import count
from types import SimpleNamespace

from bench_samples import observe
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.provenance import Provenance
from vla_cache_ros.control.drift_guard import SHARE
from vla_cache_ros.evaluation import drift
from vla_cache_ros.evaluation.broken_gates import BROKEN
from vla_cache_ros.evaluation.broken_gates import BrokenGate
from vla_cache_ros.evaluation.drift import Inference
from vla_cache_ros.evaluation.drift import run_drift
from vla_cache_ros.evaluation.drift import waits
from vla_cache_ros.evaluation.settings import DriftTrial
from vla_cache_ros.types import StepPlan

THRESHOLD = 0.2


class Planned:
    """A gate whose plan is known."""

    name, probe_layers = 'planned', ()

    def __init__(self, plan):
        self._plan = plan

    def plan(self, pixels, cache):
        return self._plan


@pytest.fixture
def cache():
    """Return the provenance of a valid cache that lacks one token."""
    cache = Provenance(512)
    cache.commit(np.arange(512) > 0, np.zeros((512, 588), np.uint8))
    return cache


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('inverted', {0, *range(412, 512)}),
        ('stuck', {0}),
        ('frozen-camera', set(range(100))),
    ],
)
def test_broken_gate_recomputes_what_it_should_not(cache, kind, expected):
    plan = StepPlan(np.arange(512) < 100, scores=-np.arange(512, dtype=np.float32))
    gate = BrokenGate(Planned(plan), kind)
    assert set(np.flatnonzero(gate.plan(None, cache).active)) == expected
    assert gate.name == 'planned'


@pytest.mark.parametrize('kind', BROKEN)
def test_full_step_stays_full(cache, kind):
    plan = StepPlan(np.ones(512, bool), refresh='drift')
    assert BrokenGate(Planned(plan), kind).plan(None, cache) is plan


def test_gate_without_scores_cannot_be_inverted(cache):
    plan = StepPlan(np.arange(512) < 100)
    with pytest.raises(ValueError, match='expected a gate that scores tokens'):
        BrokenGate(Planned(plan), 'inverted').plan(None, cache)


def record(episodes, apart):
    """Return episodes of one full and 24 cached inferences; a check costs as much as two."""
    return [
        Inference(episode, 60.0 if not i else 30.0, 0.75 * bool(i), apart * bool(i), 60.0)
        for episode in range(episodes)
        for i in range(25)
    ]


def test_alarm_comes_within_one_interval_of_checks_whenever_the_gate_breaks():
    found = waits(record(10, apart=0.4), THRESHOLD, seed=0)
    inferences = [wait for wait, _ in found]
    assert len(found) == 200
    assert min(inferences) == 2 and 15 < np.median(inferences) < 30
    # a check every 40; one at the end of an episode is followed by none
    assert np.percentile(inferences, 95) < 60 and max(inferences) < 90
    assert 0.3 < np.mean([soon for _, soon in found]) < 0.8


def test_gate_that_never_parts_is_not_counted_as_missed():
    assert waits(record(4, apart=0.1), THRESHOLD, seed=0) == []


class Stage:
    """Show other pictures all the time, for so long that checks can be paid."""

    max_steps, execute_steps, task = 240, 4, SimpleNamespace(name='look')
    control_frequency = 10.0

    def reset(self, seed):
        self.seed = seed
        return self.observe()

    def observe(self):
        self.seed += 1
        return observe(self.seed)

    def step(self, action):
        pass

    def success(self):
        return False

    def wrap(self, actor):
        return actor

    def close(self):
        pass


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('drift'))


def test_command_catches_a_gate_that_is_stuck(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(drift, 'make_environment', lambda *_: Stage())
    clock = count()  # every step takes a second
    monkeypatch.setattr(drift, 'time', SimpleNamespace(perf_counter=lambda: next(clock)))
    path = tmp_path / 'drift.json'
    asked = {'checkpoint': str(folder), 'gate': 'motion', 'reuse': 0.5, 'episodes': 1}
    figures = run_drift(DriftTrial(broken='stuck', threshold=1e-4, json=path, **asked))
    assert path.exists()
    # the second refresh: one check is enough while the alarm stands
    assert (figures['alarms']['count'], figures['refreshes'], figures['checks']) == (1, 2, 3)
    assert figures['inferences'] == 60
    assert figures['caught']['rate'] > 0.9
    assert figures['cost_share'] <= SHARE
    assert figures['alone']['distance']['q0.5'] > 1e-4
    assert 'alarms' in capsys.readouterr().out


def test_unknown_way_to_break_is_refused_with_the_known_ones(folder):
    with pytest.raises(ValueError, match='broken: expected one of inverted, stuck, frozen-camera'):
        run_drift(DriftTrial(checkpoint=str(folder), broken='bent'))


def test_guarded_run_acts_as_an_unguarded_one_until_the_cache_is_forgotten(folder):
    from vla_cache_ros.policy import Policy

    actors = [
        drift.Watched(Policy.from_pretrained(folder, make_gate('motion', 0.5)), 4, 10.0, guarded)
        for guarded in (True, False)
    ]
    for seed in range(5):
        chunks = [actor.act(observe(seed))[0].actions for actor in actors]
        np.testing.assert_array_equal(*chunks)
    assert not any(row.refresh for row in actors[0].record)
