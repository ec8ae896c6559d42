# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A world of nothing but step counts, policies that reach its goal or not, and their records."""

import time
from types import SimpleNamespace

import numpy as np
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.comparison.folder import Record
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

SETTINGS = {'checkpoint': 'fake', 'checkpoint_fingerprint': 'ab', 'execute_steps': 4}


class CountingWorld:
    """Succeed after eight steps with actions of 1."""

    max_steps = 12
    execute_steps = 4
    control_frequency = 10.0

    def __init__(self, cameras=2):
        self.cameras = cameras

    def wrap(self, actor):
        return actor

    def facts(self):
        return {'counting': '1'}

    def reset(self, seed):
        self.steps = self.reached = 0
        self.task = SimpleNamespace(name=f'task_{seed % 2}')
        return self.observe()

    def observe(self):
        return Observation((np.zeros((224, 224, 3), np.uint8),), 'go', None)

    def step(self, action):
        self.steps += 1
        self.reached += action[0]

    def success(self):
        return self.reached >= 8

    def close(self):
        """Have nothing to free."""


class FakeGatePolicy:
    """Emit one action for ever and note who acted in a list that policies may share."""

    num_images, chunk, proprio_size, family = 2, 8, 0, 'fake'
    images = SimpleNamespace(paths=())

    def __init__(self, action=1.0, name='', log=None, delay=0.0):
        self.action, self.name, self.delay = action, name, delay
        self.log = [] if log is None else log
        self.gate = SimpleNamespace(recovery=0.02)

    def reset(self, cause='episode_reset'):
        self.step = 0
        self.log.append(self.name)

    def act(self, observation):
        time.sleep(self.delay)
        self.step = getattr(self, 'step', 0) + 1
        first = self.step == 1
        report = StepReport(
            step=self.step - 1,
            gate=self.name,
            reuse=0.0 if first else 0.6,
            active=np.ones(4, bool),
            ages=np.zeros(4, int) if first else np.array([0, 1, 1, 2]),
            refresh='episode_reset' if first else '',
            latency_ms={'total': 20.004, 'gate': 1.0},
        )
        actions = np.full((8, 7), self.action)
        return ActionChunk(actions, actions), report


def record(
    label,
    seed,
    success=True,
    *,
    reuse=None,
    total=40.0,
    run='a',
    error=(),
    began=0.0,
    seconds=4.0,
):
    """Return the record of an episode of two inferences: a refresh and a cached step."""
    episode = Episode(
        seed=seed,
        task='pick',
        success=success,
        steps=8,
        reuse=(0.0, 0.5),
        latency_ms=({'total': total, 'gate': 1.0},) * 2,
        refreshes=('episode_reset', ''),
        seconds=seconds,
        age_counts=(6, 1, 0, 1),
        action_error=error,
    )
    return Record(run, label, reuse, episode, 1, began, began + 1.0)


def machine(cpu='abacus'):
    """Return what a process says of itself."""
    facts = {'facts': {}, 'execute_steps': 4, 'control_frequency': 10.0}
    return {'hardware': {'cpu': cpu}, 'versions': {'python': '3'}, **facts}


def definition(label, gate, reuse=None):
    """Return an entry as a comparison's manifest has it."""
    return {
        'label': label,
        'requested_reuse': reuse,
        'gate': gate,
        'gate_fingerprint': None,
        'recovery': None,
        'first_share': None,
    }
