# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stops the control loop, and holds it back, by a clock that the test turns."""

from controller_world import MS
from controller_world import START
from controller_world import World
import numpy as np
import pytest


def test_command_that_is_not_renewed_in_time_ends_the_chunk():
    world = World(command_timeout=0.2)
    world.image()
    world.think()
    world.advance(100)
    world.advance(240, tick=240)
    assert not np.any(world.sent[-1][1].linear)
    assert world.controller.causes.counts['command_timeout'] == 1
    world.advance(100)
    assert not np.any(world.sent[-1][1].linear)
    world.image()
    world.think()
    assert np.any(world.sent[-1][1].linear)  # and on with a new observation


def test_stale_image_stops_within_a_tick_and_is_warned_of_once():
    world = World(image_timeout=0.3)
    world.image()
    world.think()
    world.advance(600)
    last = max(time for time, command in world.sent if np.any(command.linear))
    assert START + 280 * MS <= last <= START + 300 * MS
    assert len(world.warnings) == 1
    assert 'image_raw: expected a message every 0.3 s, last one 0.3' in world.warnings[0]
    assert world.controller.causes.counts['stale_image'] == 1


def test_zero_stamp_is_named():
    world = World()
    world.image(stamp=0)
    assert 'expected a header stamp, got zero' in world.warnings[-1]
    assert not world.think()


def test_late_result_is_dropped_even_if_everything_else_is_well():
    world = World(inference_timeout=1.0)
    world.image()
    late = world.worker.slot
    for _ in range(60):
        world.advance(20)
        world.image()
    assert world.controller.causes.counts['worker_silent'] == 1
    late()
    world.controller.collect()
    assert not any(np.any(command.linear) for _, command in world.sent)
    assert world.think()  # the newest image waits in the slot
    assert np.any(world.sent[-1][1].linear)
    assert not world.controller.causes


def test_failing_inference_is_warned_of_once_with_its_traceback_and_tried_on_newer_images():
    world = World()
    world.policy.error = RuntimeError('no more memory')
    for _ in range(3):
        world.image()
        assert world.think()
        assert not world.think()  # not again on the same image
        world.advance(40)
    lines = [line for line in world.warnings if 'no more memory' in line]
    assert len(lines) == 1
    assert 'Traceback' in lines[0]
    world.policy.error = None
    world.image()
    world.think()
    assert np.any(world.sent[-1][1].linear)


@pytest.mark.parametrize(
    'action', [np.full(7, np.nan), np.array([0, np.inf, 0, 0, 0, 0, 1.0]), np.zeros(6)]
)
def test_action_that_is_not_finite_or_misshapen_is_not_sent(action):
    world = World()
    world.policy.action = action
    world.image()
    world.think()
    world.advance(100)
    assert not any(np.any(command.linear) for _, command in world.sent)
    assert world.controller.causes.names() == {'unsafe_action'}


def test_images_of_different_times_are_no_set_and_named():
    world = World(image_topics=('image_raw', 'other'))
    for topic, stamp in (('image_raw', START), ('other', START - 200 * MS)):
        world.image(stamp, topic=topic)
    world.advance(20)
    assert not world.think()
    assert world.controller.causes.names() == {'unsynchronised_images'}
    assert 'the newest are 0.200 s apart' in world.warnings[-1]
    world.image(START + 20 * MS, topic='other')
    assert world.think()


def test_image_of_a_fast_camera_is_kept_for_a_slow_one():
    world = World(image_topics=('image_raw', 'other'), sync_slop=0.02)
    world.image(START, topic='other')
    for late in range(5):
        world.image(START + 33 * MS * late)
    frames = world.controller.inputs.newest_set(0, 0.02)
    assert [frame.stamp for frame in frames.images] == [START, START]
    world.image(START + 100 * MS, topic='other')
    frames = world.controller.inputs.newest_set(0, 0.02)
    assert [frame.stamp for frame in frames.images] == [START + 99 * MS, START + 100 * MS]


def test_speed_limit_scales_the_displacement_and_is_counted():
    world = World(max_linear_velocity=0.1)
    world.policy.action = np.array([0.03, 0.04, 0, 0, 0, 0, 0])
    world.image()
    world.think()
    np.testing.assert_allclose(world.sent[-1][1].linear, [0.06, 0.08, 0])
    assert world.controller.limited == {'velocity': 1}


def test_stop_is_repeated_for_a_while_and_then_there_is_silence():
    world = World(image_timeout=0.1, stop_pub_timeout=1.0)
    world.image()
    world.think()
    world.advance(5000)
    assert START + 1100 * MS <= world.sent[-1][0] <= START + 1140 * MS
    assert world.sent[-1][1].stop
    world.image()
    world.think()
    assert np.any(world.sent[-1][1].linear)  # and on, once its cause is gone
    world.advance(300)
    assert len({time for time, _ in world.sent if time > START + 5000 * MS}) == 15


def test_emergency_stop_holds_until_it_is_released():
    world = World()
    world.image()
    world.think()
    world.controller.emergency_stop(True)
    assert world.sent[-1][1].stop
    for _ in range(10):
        world.image()
        assert not world.think()
        world.advance(100)
    assert not any(np.any(c.linear) for time, c in world.sent if time > START)
    world.controller.deactivate()
    world.controller.activate()
    assert world.controller.causes.names() == {'emergency_stop'}
    world.controller.emergency_stop(False)
    world.image()
    assert world.think()
    assert np.any(world.sent[-1][1].linear)


def test_stalled_clock_is_a_stop_and_its_end_is_not_waited_for():
    world = World()
    world.image()
    world.think()
    for _ in range(200):  # 4 s of ticks at one and the same time
        world.controller.clock_stalled(True)
        world.controller.tick()
    assert world.sent[-1][1].stop
    assert len(world.sent) == 1 + 1 + 100  # the action; at once; and for stop_pub_timeout
    assert len(world.warnings) == 1
    assert world.controller.causes.names() == {'clock_stalled'}
    world.controller.clock_stalled(False)
    world.time += MS
    world.image()
    assert world.think()


def test_workspace_needs_a_pose_even_if_the_policy_does_not():
    world = World(workspace=(0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    world.image()
    assert not world.think()
    assert 'waiting for state end_effector_pose' in world.warnings[-1]
    world.pose(0.5, 0.5, 0.001)
    world.image()
    assert world.think()
    assert world.policy.observations[-1].proprio is None
    assert world.sent[-1][1].limited == ('workspace',)
    assert world.sent[-1][1].linear[2] > -0.05  # 1 mm above the wall, of -0.2 m/s asked for


def test_cameras_that_part_for_a_moment_stop_nothing_until_their_last_set_is_stale():
    world = World(image_topics=('image_raw', 'other'), image_timeout=0.5)
    for topic in ('image_raw', 'other'):
        world.image(topic=topic)
    world.think()
    for _ in range(6):  # the other camera's images come 0.2 s late, without those between
        world.advance(60)
        world.image()
        world.image(max(START, world.time - 200 * MS), topic='other')
    assert not world.controller.causes
    assert np.any(world.sent[-1][1].linear)
    world.controller.inputs.forget()
    world.image()
    world.image(world.time - 200 * MS, topic='other')
    world.advance(20)
    assert world.controller.causes.names() == {'unsynchronised_images'}


def test_what_was_inferred_while_the_process_was_frozen_is_dropped():
    world = World(execution='asynchronous', command_timeout=0.25)
    world.image()
    world.think()
    world.advance(400)
    world.image()
    world.time += 1000 * MS  # nobody ticked
    assert world.think()
    assert world.sent[-1][1].stop
    assert world.controller.causes.counts['command_timeout'] == 1
    world.advance(20)
    world.image()
    assert world.think()
    assert np.any(world.sent[-1][1].linear)


def test_pose_in_another_frame_is_no_place_in_the_workspace():
    world = World(workspace=(0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    world.pose(0.5, 0.5, 0.5, frame='base')
    world.image()
    assert not world.think()
    assert "expected frame base_link (frame_id), got 'base'" in world.warnings[-1]
    world.pose(0.5, 0.5, 0.5)
    world.image()
    assert world.think()
