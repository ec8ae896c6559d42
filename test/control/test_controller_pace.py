# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A control loop whose policy becomes too slow, by a clock that the test turns."""

from controller_world import MS
from controller_world import World
from fake_policy import FakePolicy
import numpy as np
import pytest
from vla_cache_ros.control import degradation
from vla_cache_ros.control.degradation import OVERRUNS

# s; inferences and images as late as they like: only the pace is looked at
PATIENT = {'inference_timeout': 60.0, 'image_timeout': 60.0, 'max_gap': 60.0}


class SlowPolicy(FakePolicy):
    """Let something happen during every inference."""

    def act(self, observation, *left):
        self.meanwhile()
        return super().act(observation, *left)


def world_with_gate(**parameters):
    """Return a world whose gate aims at 0.5 and may be asked for 0.8."""
    policy = SlowPolicy()
    policy.gate.largest_reuse = 0.8
    return World(policy, **PATIENT, **parameters)


def think(world, took):
    """Let the inference in the slot take so long (ms)."""
    world.policy.meanwhile = lambda: world.advance(took, tick=min(20, took))
    assert world.think()


def cycle(world, took, play=True):
    """Let one inference take so long (ms) and, if it is played, the chunk's time pass."""
    world.time += MS
    world.image()
    think(world, took)
    if play:
        world.advance(1000)


def stages(world, took, times):
    found = []
    for _ in range(times):
        cycle(world, took)
        found.append(world.controller.pace.summary()['degradation'])
    return found


def test_more_reuse_is_asked_for_then_the_rate_falls_then_the_arm_stops():
    world = world_with_gate()
    found = stages(world, 1000, 6 * OVERRUNS)
    order = list(dict.fromkeys(found))
    assert order == ['none', 'more reuse', 'slower', 'stopped']
    assert world.policy.gate.asked == pytest.approx([0.65, 0.8])
    assert world.controller.causes.names() == {'overrun'}
    assert world.controller.causes.counts == {'overrun': 1}
    message = world.controller.causes.messages()[0]
    assert 'expected an inference within 0.8 s (4 actions at 5 Hz), the last took 1' in message
    assert world.sent[-1][1].stop
    assert len([line for line in world.warnings if line.startswith('degradation: ')]) == 6


def test_stopped_arm_is_silent_while_the_policy_goes_on_inferring():
    world = world_with_gate(stop_pub_timeout=1.0)
    stages(world, 1000, 6 * OVERRUNS)
    world.advance(2000)
    sent, inferences = len(world.sent), len(world.policy.observations)
    for _ in range(3):
        cycle(world, 1000)
    assert len(world.sent) == sent
    assert len(world.policy.observations) == inferences + 3
    assert world.done[-1][1] == 0  # no command came of it


def test_stop_ends_once_inferences_have_room_and_everything_is_taken_back(monkeypatch):
    monkeypatch.setattr(degradation, 'SLACK_RUN', 4)
    world = world_with_gate()
    stages(world, 1000, 6 * OVERRUNS)
    found = stages(world, 100, 6 * 4)
    assert list(dict.fromkeys(found)) == ['stopped', 'slower', 'more reuse', 'none']
    assert not world.controller.causes
    assert world.policy.gate.asked == pytest.approx([0.65, 0.8, 0.65, 0.5])
    assert world.controller.pace.summary()['control frequency'] == '10'


def test_reset_ends_the_stop_at_the_slowest_rate_and_activation_begins_anew():
    world = world_with_gate()
    stages(world, 1000, 6 * OVERRUNS)
    world.controller.new_episode()
    assert not world.controller.causes
    assert world.controller.pace.summary()['control frequency'] == '5'
    cycle(world, 700, play=False)
    assert np.any(world.sent[-1][1].linear)
    world.controller.deactivate()
    world.controller.activate()
    assert world.controller.pace.summary()['degradation'] == 'none'
    assert world.policy.gate.asked[-1] == 0.5


def test_a_paused_or_stopped_arm_stays_so_when_inferences_have_room_again():
    world = world_with_gate()
    stages(world, 1000, 6 * OVERRUNS)
    world.controller.emergency_stop(True)
    world.time += MS
    world.image()
    assert world.worker.slot is None
    assert world.controller.causes.names() == {'overrun', 'emergency_stop'}


@pytest.mark.parametrize('execution', ['synchronous', 'asynchronous', 'ensembled'])
def test_a_chunk_moves_the_arm_as_far_at_every_rate(execution):
    world = World(SlowPolicy(), execution=execution, **PATIENT)
    actions = 4 if execution == 'synchronous' else 8
    rates = []
    for _ in range(3 * OVERRUNS + 1):
        world.advance(3000)
        world.image()
        think(world, 1000)
        world.sent = [one for one in world.sent if one[0] == world.time][-1:]
        rates.append(world.controller.pace.summary()['control frequency'])
        if world.controller.pace.stopped:
            break
        world.advance(2000)
        speeds = [command.linear[0] for _, command in world.sent if np.any(command.linear)]
        np.testing.assert_allclose(
            world.displacement(),
            actions * world.policy.action[:6],
            atol=0.01
            * np.abs(
                10 * world.policy.action[:6]
            ).max(),  # a chunk ends at the tick that is nearest
        )
        np.testing.assert_allclose(speeds, world.policy.action[0] * float(rates[-1]), rtol=1e-3)
    assert list(dict.fromkeys(rates)) == ['10', '7.937', '6.3', '5']


def test_degrade_off_counts_overruns_and_changes_nothing():
    world = world_with_gate(degrade=False)
    assert set(stages(world, 1000, 20)) == {'none'}
    assert world.controller.pace.summary()['overruns'] == '20'
    assert world.policy.gate.asked == []


def test_waiting_for_an_inference_that_was_dropped_is_no_overrun():
    world = world_with_gate()
    for number in range(5 * OVERRUNS):
        assert world.controller.inputs.take_instruction(f'task {number}')
        world.controller.halt()
        world.time += MS
        world.image()
        world.advance(500)  # the worker is still at the one before
        think(world, 100)
        world.advance(1000)
    assert world.controller.pace.summary()['overruns'] == '0'


@pytest.mark.parametrize(
    ('values', 'slowest'),
    [({}, 5.0), ({'command_timeout': 0.125}, 8.0), ({'min_control_frequency': 9.0}, 9.0)],
)
def test_slowest_rate_is_half_unless_the_command_would_lapse_or_the_user_says_so(values, slowest):
    world = World(**values)
    assert world.controller.parameters.slowest_frequency() == slowest
    assert world.controller.parameters.contradiction() == ''


@pytest.mark.parametrize('rate', [5.0, 10.0, 20.0, 50.0])
@pytest.mark.parametrize('slowed', [False, True])
@pytest.mark.parametrize('delay', [0.5, 1.5, 2.5, 3.5])
def test_chunk_joins_at_the_action_that_is_due_at_the_rate_that_holds(rate, slowed, delay):
    world = World(
        SlowPolicy(),
        **PATIENT,
        execution='asynchronous',
        control_frequency=rate,
        publish_rate=200.0,
        command_timeout=1.0,
    )
    world.policy.action = np.array([0.004, 0, 0, 0, 0, 0, 1.0])
    world.policy.ramp = True  # the k-th action is 1 + k / 100 times the first
    while slowed and world.controller.pace.summary()['degradation'] == 'none':
        cycle(world, 6 * round(1000 / rate), play=False)
        world.advance(round(9000 / rate))
    period = world.controller.pace.period
    assert (period > 1.1e9 / rate) == slowed
    world.time += MS
    world.image()
    think(world, 5)
    world.advance(4 * period // MS + 1, tick=1)
    world.image()  # observed while the arm moves, and acted on so many actions later
    world.policy.meanwhile = lambda: world.advance(round(delay * period / MS), tick=1)
    assert world.think()
    world.advance(1, tick=1)
    first = 0.004 * 1e9 / period  # m/s, of a chunk's first action
    index = (world.sent[-1][1].linear[0] / first - 1) * 100
    assert index == pytest.approx(int(delay), abs=1e-6)
