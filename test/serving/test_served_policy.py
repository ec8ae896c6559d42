# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot gets from the server is what it would get from a policy of its own."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from served import PROMPT
from served import serving
from served import Socket
from vla_cache_ros.policy import Policy
from vla_cache_ros.serving.client.policy import RemotePolicy
from vla_cache_ros.serving.messages import to_request
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.scheduler import Scheduler
from vla_cache_ros.types import Observation

LOAD = {'path': 'tabletop', 'gate': 'learned', 'reuse': 0.6, 'seed': 3}
STEPS = 5


@pytest.fixture(scope='module')
def served():
    metrics = Metrics()
    scheduler = Scheduler(
        lambda: Policy.from_pretrained(**LOAD, sessions=3),
        metrics,
        sessions=3,
        seed=3,
        quiet=False,
    )
    scheduler.start()
    with serving(scheduler, metrics) as found:
        yield found


@pytest.fixture(scope='module')
def local():
    return Policy.from_pretrained(**LOAD)


def episode(seed):
    """Return what a robot sees: two pictures larger than the model's, a part of which moves."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (2, 240, 320, 3), dtype=np.uint8)
    seen = []
    for step in range(STEPS):
        pictures = pictures.copy()
        pictures[:, 20 * step : 20 * step + 60, :80] = random.integers(0, 256, (2, 60, 80, 3))
        seen.append(Observation(tuple(pictures), PROMPT, random.uniform(-0.5, 0.5, 8)))
    return seen


def alone(local, seen):
    """Return what the policy gives in this process."""
    local.reset()
    return [local.act(observation) for observation in seen]


def test_actions_of_openpis_messages_are_those_of_a_local_policy(served, local):
    seen = episode(0)
    expected = alone(local, seen)
    with Socket(served.url) as client:
        for observation, (chunk, _) in zip(seen, expected, strict=True):
            answer = client.ask(to_request(observation, served.model.cameras))
            assert np.array_equal(answer['actions'], chunk.actions)
    assert any(report.reuse > 0.3 for _, report in expected)


def test_our_client_gets_the_same_steps_too(served, local):
    seen = episode(1)
    remote = RemotePolicy(served.url)
    try:
        for observation, (chunk, report) in zip(seen, alone(local, seen), strict=True):
            found, told = remote.act(observation)
            assert np.array_equal(found.normalized, chunk.normalized)
            assert (told.step, told.reuse, told.refresh) == (
                report.step,
                report.reuse,
                report.refresh,
            )
            assert np.array_equal(told.active, report.active)
            assert np.array_equal(told.ages, report.ages)
        dense = remote.shadow(seen[-1], STEPS - 1)
        assert np.array_equal(dense.actions, local.shadow(seen[-1], STEPS - 1).actions)
    finally:
        remote.close()


def test_robots_that_come_at_once_get_what_each_would_get_alone(served, local):
    episodes = [episode(seed) for seed in range(3)]
    before = served.metrics.value('vla_cache_batch_size_count')

    def robot(seen):
        with Socket(served.url) as client:
            messages = [to_request(one, served.model.cameras) for one in seen]
            return [client.ask(message)['actions'] for message in messages]

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(robot, episodes))
    for actions, seen in zip(found, episodes, strict=True):
        for one, (chunk, _) in zip(actions, alone(local, seen), strict=True):
            assert np.abs(one - chunk.actions).max() < 1e-5
    batches = served.metrics.value('vla_cache_batch_size_count') - before
    assert 0 < batches < 3 * STEPS  # some of them ran together


def test_a_prompt_the_model_cannot_take_is_refused_by_name(served):
    seen = episode(0)[0]
    with Socket(served.url) as client:
        odd = Observation(seen.images, 'x ' * 1900, seen.proprio)
        assert 'instruction: expected' in client.ask(to_request(odd, served.model.cameras))
        good = client.ask(to_request(seen, served.model.cameras))
        assert good['actions'].shape == (served.model.chunk, served.model.action_dim)
