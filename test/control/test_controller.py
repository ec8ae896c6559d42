# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The control loop by a clock that the test turns: what is sent when, to the nanosecond."""

import json

from controller_world import MS
from controller_world import START
from controller_world import World
import numpy as np
import pytest
from vla_cache_ros.control.chunking import Leftover
from vla_cache_ros.control.step_report import active_tokens
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.control.step_report import step_report


def test_four_actions_are_played_for_exactly_their_time_and_then_zeros():
    world = World()
    world.image()
    assert world.think()
    world.advance(600)
    np.testing.assert_allclose(world.displacement(), 4 * world.policy.action[:6])
    moving = [time for time, command in world.sent if np.any(command.linear)]
    assert moving[0] == START
    assert moving[-1] == START + 380 * MS
    assert [time for time, _ in world.sent] == [START + 20 * MS * i for i in range(31)]


def test_gripper_goes_with_an_action_and_is_left_alone_by_a_stop():
    world = World()
    world.image()
    world.think()
    world.advance(500)
    assert {c.gripper for _, c in world.sent if np.any(c.linear)} == {1.0}
    assert {c.gripper for _, c in world.sent if not np.any(c.linear)} == {None}


def test_next_observation_is_stamped_after_the_last_action():
    world = World()
    world.image()
    world.think()
    world.advance(380)
    world.image()  # while the arm still moves
    world.advance(20)
    assert not world.think()
    world.image(stamp=START + 399 * MS)
    assert not world.think()
    world.image()
    assert world.think()


def test_ticks_that_come_late_or_early_do_not_shift_the_actions():
    world = World()
    world.image()
    world.think()
    rng = np.random.default_rng(0)
    for tick in range(1, 25):  # each within 8 ms of its nominal time
        world.time = START + int((20 * tick + rng.uniform(-8, 8)) * MS)
        world.controller.tick()
    moved = world.displacement()[0] / world.policy.action[0]
    assert 3.9 < moved < 4.1


def test_new_instruction_drops_the_chunk_and_the_inference_in_hand():
    world = World()
    world.image()
    stale = world.worker.slot
    assert world.controller.inputs.take_instruction('something else')
    world.controller.halt()
    stale()
    world.controller.collect()
    assert not any(np.any(command.linear) for _, command in world.sent)
    world.image()
    world.think()
    assert world.policy.observations[-1].instruction == 'something else'


def test_long_gap_between_images_invalidates_the_cache():
    world = World(max_gap=1.0, image_timeout=5.0)
    world.image()
    world.think()
    world.advance(2000)
    world.image()
    assert world.policy.resets[-1] == 'gap_too_long'


def test_asynchronously_the_arm_does_not_wait_for_the_policy():
    world = World(execution='asynchronous')
    world.policy.proprio_size = 0
    world.image()
    assert world.think()
    for _ in range(40):  # 2 s; an inference takes 60 ms, images come every 50 ms
        waiting = world.worker.slot
        world.advance(60)
        if waiting is not None:
            world.think()
        world.image(stamp=world.time - 10 * MS)
    moving = [bool(np.any(command.linear)) for _, command in world.sent]
    assert all(moving)
    observed = [int(f.frames.stamp - START) // MS for f, _, _ in world.done]
    assert all(400 <= gap <= 470 for gap in np.diff(observed))  # every execute_steps


def test_asynchronous_chunk_joins_at_the_action_that_is_due():
    world = World(execution='asynchronous')
    world.policy.ramp = True  # action n moves by n hundredths of the first number
    world.image()
    world.think()
    world.advance(400)
    world.image()  # at 400 ms, which is where the new chunk begins
    waiting = world.worker.slot
    assert waiting is not None
    world.advance(240)
    world.time += 5 * MS
    world.think()
    step = world.policy.action[0] * 10
    played = [command.linear[0] / step for time, command in world.sent]
    assert played[-2] == pytest.approx(1.06)  # the old chunk's seventh
    assert played[-1] == pytest.approx(1.02)  # the new chunk's third


def test_new_instruction_cuts_in_while_a_chunk_plays():
    world = World(execution='asynchronous')
    world.image()
    world.think()
    world.advance(100)
    assert world.controller.inputs.take_instruction('something else')
    world.controller.halt()
    world.time += MS
    world.image()
    assert world.think()
    assert world.policy.observations[-1].instruction == 'something else'
    assert np.any(world.sent[-1][1].linear)


def test_step_report_keeps_tokens_and_stamps():
    world = World()
    world.image()
    world.think()
    outcome, stamp, latency = world.done[0]
    text = step_report(
        outcome.report,
        outcome.chunk,
        outcome.frames,
        episode=3,
        published=stamp,
        timings={'image_to_command_ms': latency},
    )
    np.testing.assert_array_equal(active_tokens(text), np.arange(512) % 2 == 0)
    report = json.loads(text)
    assert report['image_stamps'] == [START]
    assert report['command_stamp'] == START
    assert report['episode'] == 3
    assert not {'rest', 'delay'} & set(report)


def test_step_report_says_how_much_of_the_chunk_before_the_inference_was_told():
    world = World()
    world.image()
    world.think()
    outcome, _, _ = world.done[0]
    text = step_report(
        outcome.report,
        outcome.chunk,
        outcome.frames,
        episode=0,
        published=0,
        timings={},
        left=Leftover(np.zeros((5, 7)), 2),
    )
    report = read_report(text)
    assert (report['rest'], report['delay']) == (5, 2)
