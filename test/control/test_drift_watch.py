# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks of the node's cached actions: when they run, what they may not delay, what follows."""

from controller_world import World
import numpy as np
import pytest
from vla_cache_ros.ros.diagnostics import diagnostics
from vla_cache_ros.ros.diagnostics import Figures


@pytest.fixture(autouse=True)
def due(monkeypatch):
    """Let every inference be due for a check."""
    from vla_cache_ros.control.drift_guard import DriftGuard

    counted = DriftGuard.infer
    monkeypatch.setattr(DriftGuard, 'infer', lambda *a: counted(*a) or True)


def infer(world):
    """Make one inference of a new image and play its actions."""
    world.advance(500)
    world.image()
    assert world.think()


def health(world):
    message = diagnostics('node', world.controller.parameters, world.controller, Figures())
    return message.status[0], {pair.key: pair.value for pair in message.status[0].values}


def test_check_sees_the_same_observation_as_the_step_it_follows():
    world = World()
    infer(world)
    assert world.check()
    observation, step, *left = world.policy.shadows[-1]
    assert observation is world.policy.observations[-1]
    assert step == world.done[-1][0].report.step
    assert left == [None, 0]
    assert not world.check()


def test_check_waits_until_the_actions_play():
    world = World()
    world.image()
    assert world.worker.spare is None
    world.think()
    assert np.any(world.sent[-1][1].linear)
    assert world.worker.spare is not None


def test_waiting_observation_goes_first():
    world = World(execution='asynchronous')
    world.image()
    world.think()
    assert world.worker.spare is not None
    world.advance(420)
    world.image()  # is inferred for so long
    world.advance(600)
    world.image()  # that the next is due before there is an outcome
    assert world.think()
    assert world.worker.slot is not None and world.worker.spare is None


def test_observation_drops_a_check_that_was_not_begun():
    world = World()
    infer(world)
    assert world.worker.spare is not None
    world.advance(500)
    world.image()
    assert world.worker.slot is not None and world.worker.spare is None


def test_second_check_in_a_row_drops_the_cache_once_and_the_arm_moves_on():
    world = World()
    world.policy.drift = 3.0  # a mean of 0.5 over six numbers
    for count in (0, 1):
        infer(world)
        assert world.policy.resets.count('drift') == 0
        assert world.check()
        assert world.policy.resets.count('drift') == count
    assert np.any(world.sent[-1][1].linear)
    assert not world.controller.causes
    assert len([line for line in world.warnings if 'part by 0.500 (drift_thr' in line]) == 1
    status, values = health(world)
    assert status.level == status.WARN and 'cached and dense actions part' in status.message
    assert (values['drift checks'], values['drift alarms']) == ('2', '1')
    assert values['drift distance p95'] == '0.500'
    assert float(values['drift share']) > 0


def test_warning_ends_with_a_check_that_finds_no_difference():
    world = World()
    world.policy.drift = 3.0
    for _ in range(2):
        infer(world)
        world.check()
    world.policy.drift = 0.0
    infer(world)
    world.check()
    status, values = health(world)
    assert status.level == status.OK and values['drift alarms'] == '1'


def test_finding_of_an_earlier_episode_counts_as_time_alone():
    world = World()
    world.policy.drift = 3.0
    infer(world)
    world.check()  # suspicious
    infer(world)
    late = world.worker.spare
    world.controller.new_episode()
    assert world.worker.spare is None
    late()
    world.controller.collect()
    assert 'drift' not in world.policy.resets
    assert health(world)[1]['drift checks'] == '2'
    infer(world)
    world.check()
    assert 'drift' not in world.policy.resets  # the suspicion was of the episode before


def test_threshold_of_zero_compares_nothing():
    world = World(drift_threshold=0.0)
    infer(world)
    assert not world.check()


def test_failing_check_is_told_and_stops_nothing():
    world = World()
    world.policy.shadow_error = RuntimeError('no more memory')
    infer(world)
    world.check()
    assert 'drift: not compared: RuntimeError: no more memory' in world.warnings[-1]
    assert not world.controller.causes
    infer(world)


def test_node_tells_of_drift_and_drives_on(graph, policy):
    policy.drift = 3.0
    graph.healthy_start()
    assert graph.wait(lambda: 'drift' in policy.resets)
    assert graph.wait(lambda: graph.logged('cached and dense actions part by 0.500'))
    health = graph.outside.health
    assert graph.wait(lambda: health and 'actions part' in health[-1]['message'])
    assert int(health[-1]['drift alarms']) == 1
    assert int(health[-1]['drift checks']) >= 2
    count = len(graph.outside.reports)
    assert graph.wait(lambda: len(graph.outside.reports) > count)
