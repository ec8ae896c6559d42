# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What an inference is told of the chunk that plays meanwhile, by a clock that the test turns."""

from math import ceil

from controller_world import MS
from controller_world import World
from fake_policy import FakePolicy
import numpy as np
import pytest
from vla_cache_ros.control.takeover import SERVICE

NOTHING = (None, 0)


class FlowPolicy(FakePolicy):
    """Take what is left; let time pass in every inference; the k-th action is 1 + k / 100."""

    takes_rest, chunk = True, 20

    def __init__(self):
        super().__init__()
        self.action = np.array([0.004, 0, 0, 0, 0, 0, 1.0])
        self.ramp = True
        self.meanwhile = lambda: None
        self.given = []

    def act(self, observation, *left):
        self.meanwhile()
        chunk, report = super().act(observation, *left)
        self.given.append(chunk.actions)
        return chunk, report


def world(rate=10.0, takes=True, **parameters):
    settings = {
        'execution': 'asynchronous',
        'control_frequency': rate,
        'publish_rate': 200.0,
        'command_timeout': 1.0,
        'inference_timeout': 60.0,
        'image_timeout': 60.0,
        'max_gap': 60.0,
    }
    policy = FlowPolicy()
    policy.takes_rest = takes
    return World(policy, **(settings | parameters))


def cycle(made, periods, age=0.0):
    """Infer for so many periods an image that is so many old; play on to the next; return left."""
    period = made.controller.pace.period
    made.policy.meanwhile = lambda: made.advance(round(periods * period / MS), tick=1)
    made.advance(round(age * period / MS), tick=1)
    made.image(stamp=made.time - round(age * period / MS) * MS)
    assert made.think()
    since = made.policy.observations and made.done[-1][0].frames.stamp
    made.advance(max(4 * period + since - made.time, 0) // MS + 1, tick=1)
    return made.policy.left[-1]


@pytest.mark.parametrize('rate', [5.0, 10.0, 20.0, 50.0])
@pytest.mark.parametrize('took', [0.5, 1.5, 2.5, 3.5])
def test_rest_begins_at_the_images_and_delay_is_what_passes_until_the_outcome(rate, took):
    made = world(rate)
    assert cycle(made, took) == NOTHING
    # the arm stood while the first was inferred: that one began to be played when it came
    assert len(cycle(made, took)[0]) == 20 - round(4 - took + 0.01)
    for _ in range(3):
        begin = made.time
        rest, delay = cycle(made, took)
        assert delay == ceil(took)
        last = made.policy.given[-2]
        np.testing.assert_array_equal(rest, last[4:])  # execute_steps after its own images
        # the first of them are what the arm did until the outcome came
        for k in range(int(took)):
            middle = begin + (k + 0.5) * made.controller.pace.period
            (command,) = [c for t, c in made.sent if t <= middle][-1:]
            assert command.linear[0] == pytest.approx(rest[k, 0] * rate)


def test_delay_counts_from_when_the_images_were_taken():
    made = world()
    cycle(made, 1.5)
    cycle(made, 1.5)
    rest, delay = cycle(made, 1.5, age=0.8)
    assert delay == 3  # 2.3 periods
    np.testing.assert_array_equal(rest, made.policy.given[-2][4:])


def test_longest_of_the_last_ten_inferences_is_expected_again():
    made = world()
    for periods in (0.5, 2.5, 0.5):
        cycle(made, periods)
    assert [cycle(made, 0.5)[1] for _ in range(10)] == [3] * 9 + [1]


def test_time_that_an_inference_waited_for_its_turn_counts():
    made = world()
    cycle(made, 0.5)
    made.image()
    made.advance(200, tick=1)  # the worker is at something else
    made.policy.meanwhile = lambda: made.advance(50, tick=1)
    assert made.think()
    made.advance(160, tick=1)
    assert cycle(made, 0.5)[1] == 3


def test_slowed_rate_makes_the_same_time_fewer_actions():
    made = world()
    cycle(made, 1.9)
    made.controller.pace.period *= 2
    made.controller._playback.change_period(made.controller.pace.period, made.time)
    made.image()
    assert made.think()
    assert made.policy.left[-1][1] == 1


def test_actions_are_told_as_the_policy_gave_them():
    made = world(translation_scale=0.1, max_linear_velocity=0.001, join_blend=0.2)
    cycle(made, 0.4)
    rest, _ = cycle(made, 0.4)
    assert rest[0, 0] == pytest.approx(0.004 * 1.04)


@pytest.mark.parametrize(
    ('execution', 'takes', 'wanted'),
    [
        ('synchronous', True, True),
        ('ensembled', True, True),
        ('asynchronous', False, True),
        ('asynchronous', True, False),
    ],
)
def test_nothing_is_told_where_it_is_not_wanted(execution, takes, wanted):
    made = world(takes=takes, execution=execution, real_time_chunking=wanted)
    for _ in range(3):
        assert cycle(made, 0.5) == NOTHING
        made.advance(100, tick=1)


def stop(made):
    made.controller.pause(True)
    made.controller.pause(False)


def hand_over_and_back(made):
    made.controller.takeover.give(True, SERVICE)
    made.controller.takeover.give(False, SERVICE)


def instruct(made):
    made.controller.inputs.take_instruction('another')
    made.controller.halt()


@pytest.mark.parametrize(
    'event',
    [
        stop,
        hand_over_and_back,
        instruct,
        lambda made: made.controller.new_episode(),
        lambda made: made.advance(3000, tick=1),  # the chunk has ended
        lambda made: setattr(made, 'time', made.time + 2000 * MS),  # the process was frozen
    ],
    ids=['stop', 'hand over', 'instruction', 'episode', 'end', 'lapse'],
)
def test_nothing_is_left_after_whatever_ended_the_chunk(event):
    made = world()
    cycle(made, 0.5)
    assert cycle(made, 0.5)[0] is not None
    event(made)
    made.advance(2, tick=1)
    made.image()
    assert made.think()
    assert made.policy.left[-1] == NOTHING


def test_nothing_is_left_while_a_person_has_the_arm():
    made = world()
    cycle(made, 0.5)
    made.controller.takeover.give(True, SERVICE)
    made.advance(2, tick=1)
    made.image()
    assert made.think()
    assert made.policy.left[-1] == NOTHING


def test_dense_step_of_a_check_is_told_the_same(monkeypatch):
    from vla_cache_ros.control.drift_guard import DriftGuard

    monkeypatch.setattr(DriftGuard, 'infer', lambda *_: True)
    made = world()
    cycle(made, 0.5)
    made.image()
    assert made.think() and made.check()
    _, _, rest, delay = made.policy.shadows[-1]
    assert rest is made.policy.left[-1][0] and rest is not None
    assert delay == made.policy.left[-1][1] == 1
