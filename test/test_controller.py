# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The control loop by a clock that the test turns: what is sent when, to the nanosecond."""

import json

from fake_policy import FakePolicy
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import Image
from vla_cache_ros.ros.controller import Controller
from vla_cache_ros.ros.step_report import active_tokens
from vla_cache_ros.ros.step_report import step_report
from vla_cache_ros.ros.surroundings import Surroundings
from vla_cache_ros.ros.vla_parameters import VLAParameters

MS = 1_000_000
START = 10**18  # ns


class NoThread:
    """A worker that works when the test says so."""

    def __init__(self):
        self.slot = None

    def order(self, work):
        work()

    def offer(self, work):
        self.slot = work

    def withdraw(self):
        self.slot = None


class World:
    """A controller, its clock and what it sent; one camera, no robot state."""

    def __init__(self, **parameters):
        self.time, self.sent, self.warnings, self.done = START, [], [], []
        self.policy, self.worker = FakePolicy(), NoThread()
        self.policy.proprio_size = 0
        settings = {
            'control_frequency': 10.0,
            'execute_steps': 4,
            'image_timeout': 5.0,
            'max_linear_acceleration': 1000.0,
            'max_angular_acceleration': 1000.0,
        }
        self.controller = Controller(
            self.policy,
            self.worker,
            VLAParameters(**{**settings, **parameters}),
            Surroundings(
                now=lambda: self.time,
                send=self.send,
                renew=lambda: None,
                wake=lambda: None,
                warn=self.warnings.append,
                done=lambda *report: self.done.append(report),
            ),
        )
        self.controller.activate()
        self.controller.inputs.take_instruction('go')
        self.sent.clear()

    def send(self, command):
        self.sent.append((self.time, command))
        return self.time

    def image(self, stamp=None, value=200, topic='image_raw'):
        stamp = self.time if stamp is None else stamp
        message = Image(width=32, height=32, step=96, encoding='rgb8')
        message.data = np.full(32 * 96, value, np.uint8).tobytes()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self.controller.inputs.take_image(topic, message, 0.0)
        self.controller.consider()

    def pose(self, *position, frame='base_link'):
        message = PoseStamped()
        message.header.frame_id = frame
        point = message.pose.position
        point.x, point.y, point.z = position
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.time, 10**9)
        self.controller.inputs.take_state('end_effector_pose', message, 0.0)

    def think(self):
        """Have the worker do what is in its slot; return whether there was anything."""
        work, self.worker.slot = self.worker.slot, None
        if work is not None:
            work()
            self.controller.collect()
        return work is not None

    def advance(self, milliseconds, tick=20):
        for _ in range(0, milliseconds, tick):
            self.time += tick * MS
            self.controller.tick()

    def displacement(self):
        """Return the integral [6] of the twists sent, up to now."""
        ends = [time for time, _ in self.sent[1:]] + [self.time]
        return sum(
            np.concatenate([c.linear, c.angular]) * (end - begin) * 1e-9
            for (begin, c), end in zip(self.sent, ends, strict=True)
        )


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
    assert 'expected a header stamp, came zero' in world.warnings[-1]
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
    assert "expected frame base_link (frame_id), came 'base'" in world.warnings[-1]
    world.pose(0.5, 0.5, 0.5)
    world.image()
    assert world.think()


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
