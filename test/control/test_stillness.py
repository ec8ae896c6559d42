# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that repeats its picture while the arm moves is a stop; a still scene is none."""

from controller_world import MS
from controller_world import START
from controller_world import World
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.sensing.inputs import Frame
from vla_cache_ros.control.sensing.stillness import Stillness

PERIOD = 100  # ms, of an action
ZEROS = np.zeros(3)


class Filmed:
    """A world whose noise-free camera sees where the arm is, and may stick at a picture."""

    def __init__(self, rate=25, think=60, lag=0, pose=False, **parameters):
        """Film at rate (Hz); the policy needs think (ms), the arm lags by lag (ms)."""
        defaults = {'image_timeout': 0.3, 'dry_run': False, 'execution': 'asynchronous'}
        if pose:
            parameters['workspace'] = (-100.0,) * 3 + (100.0,) * 3
        self.world = World(**(defaults | parameters))
        self.causes = self.world.controller.causes
        self.every, self.think, self.lag, self.pose = round(1000 / rate), think, lag, pose
        self.stuck = self.still = False
        self.seen, self.offered = None, None
        self.places = [(START, np.zeros(6))]
        self.noise = np.random.default_rng(0)

    def place(self, at):
        """Return where the arm was at a time (ns)."""
        return next((p for t, p in reversed(self.places) if t <= at), self.places[0][1])

    def film(self, milliseconds, frozen=False):
        """Let time pass in steps of 10 ms; return when the first stop came (ms), else None."""
        world, begin = self.world, self.world.time
        for now in range(0, milliseconds, 10):
            world.time = begin + now * MS
            last, commands = self.places[-1], [c for t, c in world.sent[-1:] if not self.still]
            twist = [np.concatenate([c.linear, c.angular]) for c in commands]
            gone = (world.time - last[0]) * 1e-9
            self.places = [*self.places[-99:], (world.time, last[1] + sum(twist) * gone)]
            if self.pose and now % 10 == 0:
                here = self.place(world.time - self.lag * MS)[:3]
                world.pose(*(here + self.noise.normal(0, 1e-4, 3)))
            if now % self.every < 10:
                if not frozen or self.seen is None:
                    self.seen = self.place(world.time - self.lag * MS).copy()
                self.shoot()
            if now % 20 == 0:
                world.controller.tick()
            self.infer()
            if 'frozen_image' in self.causes.names():
                return now
        return None

    def shoot(self):
        """Send a picture of what the camera has seen."""
        data = np.resize(np.frombuffer(self.seen.tobytes(), np.uint8), 32 * 96) | 64
        data[: self.seen.nbytes] = np.frombuffer(self.seen.tobytes(), np.uint8)
        message = Image(width=32, height=32, step=96, encoding='rgb8', data=data.tobytes())
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(self.world.time, 10**9)
        self.world.controller.inputs.take_image('image_raw', message, 0.0)
        self.world.controller.consider()

    def infer(self):
        """Have the worker return what it was given a while ago."""
        slot = self.world.worker.slot
        if slot is None:
            self.offered = None
        elif self.offered is None or self.offered[1] is not slot:
            self.offered = (self.world.time, slot)
        elif self.world.time - self.offered[0] >= self.think * MS:
            self.world.think()


@pytest.mark.parametrize('pose', [False, True])
def test_same_picture_newly_stamped_while_the_arm_moves_is_a_named_stop(pose):
    film = Filmed(pose=pose)
    assert film.film(1500) is None
    took = film.film(1000, frozen=True)
    assert 200 <= took <= 300 + PERIOD
    assert film.world.sent[-1][1].stop
    assert 'image_raw: expected pictures that change' in film.world.warnings[-1]
    assert 'got the same one for 0.3' in film.world.warnings[-1]
    assert film.causes.counts['frozen_image'] == 1


def test_stop_lasts_until_another_picture_comes_and_then_the_arm_goes_on():
    film = Filmed()
    film.film(1000)
    assert film.film(1000, frozen=True)
    for _ in range(50):
        film.film(20, frozen=True)
    assert 'frozen_image' in film.causes.names()
    assert len(film.world.warnings) == 1
    film.seen = film.seen + 1.0
    film.shoot()
    assert not film.causes
    film.film(200)
    assert np.any(film.world.sent[-1][1].linear)


@pytest.mark.parametrize(
    'execution, pose', [('synchronous', False), ('asynchronous', False), ('synchronous', True)]
)
def test_ten_minutes_of_a_still_scene_with_a_still_arm_stop_nothing(execution, pose):
    film = Filmed(execution=execution, pose=pose, rate=10, think=200)
    film.world.policy.action = np.array([0, 0, 0, 0, 0, 0, 1.0])
    assert film.film(600_000, frozen=True) is None
    assert len(film.world.policy.observations) > 500
    assert not film.causes


@pytest.mark.parametrize('think', [100, 1000, 4000])
def test_arm_that_stands_still_while_the_policy_infers_stops_nothing(think):
    film = Filmed(execution='synchronous', think=think, lag=50, image_timeout=0.12)
    assert film.film(60_000) is None
    assert film.world.displacement()[0] > 0.3
    assert not film.causes


def test_synchronous_arm_stops_too_though_it_rests_between_actions():
    film = Filmed(execution='synchronous', execute_steps=1, think=400)
    assert film.film(3000) is None
    assert film.film(3000, frozen=True) is not None


def test_arm_that_is_commanded_and_does_not_move_by_its_pose_stops_nothing():
    film = Filmed(pose=True)
    film.still = True
    assert film.film(5000, frozen=True) is None


def test_arm_that_a_person_moves_in_a_dry_run_is_judged_by_its_pose():
    film = Filmed(pose=True, dry_run=True)
    assert film.film(1000) is None
    assert 200 <= film.film(1000, frozen=True) <= 300 + 2 * PERIOD
    assert Filmed(dry_run=True).film(3000, frozen=True) is None  # nothing was sent, none is heard


def test_pose_that_is_heard_late_is_no_motion():
    world = World(image_timeout=0.2, workspace=(-9.0, -9.0, -9.0, 9.0, 9.0, 9.0))
    for now in range(0, 2000, 20):
        world.time = START + now * MS
        world.image()
        if now >= 500:
            world.pose(0.5, 0.1, 0.3)
        world.controller.consider()
    assert not world.controller.causes


@pytest.mark.parametrize('moves', [False, True])
def test_arm_of_joints_is_judged_by_their_positions(moves):
    stillness = Stillness(100 * MS, joints=True)
    found = {}
    for now in range(0, 1000, 20):
        message = Image(data=b'the same')
        frames = {'image_raw': Frame(message, START + now * MS, 0.0)}
        stillness.command(Command(ZEROS, ZEROS, rates=np.full(6, 0.1)), START + now * MS)
        place = np.full(6, 0.1 * moves * now / 1000)
        found |= stillness.judge(frames, place, START + now * MS, 0.2)
    assert list(found) == [('frozen_image', 'image_raw')] * moves


def test_slow_camera_is_not_one_that_repeats():
    film = Filmed(rate=4, image_timeout=0.3)
    assert film.film(10_000) is None


def test_it_can_be_switched_off_while_the_node_runs():
    film = Filmed(frozen_image=False)
    assert film.film(3000, frozen=True) is None
    film = Filmed()
    assert film.film(3000, frozen=True) is not None
    parameters = film.world.controller.parameters
    film.world.controller.parameters = type(parameters)(
        **{**vars(parameters), 'frozen_image': False}
    )
    film.world.controller.consider()
    assert not film.causes


def test_new_episode_begins_without_the_old_pictures():
    film = Filmed()
    film.film(1000)
    assert film.film(1000, frozen=True)
    film.world.controller.new_episode()
    assert not film.causes.names() - {'frozen_image'}
    film.world.controller.consider()
    assert not film.causes
    assert film.film(1000, frozen=True) >= 200  # it is noticed anew


def test_compressed_pictures_are_compared_by_their_bytes():
    world = World(image_timeout=0.2, dry_run=False, execution='asynchronous')
    for now in range(0, 2000, 20):
        world.time = START + now * MS
        message = CompressedImage(format='jpeg', data=b'the same')
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(world.time, 10**9)
        world.controller.inputs.take_image('image_raw', message, 0.0)
        world.controller.stillness.command(Command(np.array([0.1, 0, 0]), ZEROS), world.time)
        world.controller.consider()
    assert 'frozen_image' in world.controller.causes.names()


@settings(max_examples=60, deadline=None)
@given(
    speed=st.floats(0.05, 0.25),
    turns=st.booleans(),
    rate=st.sampled_from([15, 20, 30, 50]),
    begin=st.integers(40, 120),
    timeout=st.sampled_from([0.12, 0.2, 0.5]),
    pose=st.booleans(),
)
def test_whenever_it_freezes_the_arm_stops_in_time(speed, turns, rate, begin, timeout, pose):
    turns = turns and not pose  # the pose that this world publishes does not turn
    film = Filmed(rate=rate, think=40, pose=pose, image_timeout=timeout)
    action = np.zeros(7)
    action[4 if turns else 1] = speed * PERIOD / 1000 * (3 if turns else 1)
    film.world.policy.action = action
    assert film.film(begin * 10) is None
    took = film.film(2000, frozen=True)
    assert took is not None and took <= 1000 * timeout + PERIOD + 20


@settings(max_examples=40, deadline=None)
@given(
    lag=st.integers(0, 60),  # half of image_timeout, see `Stillness`
    speeds=st.lists(st.sampled_from([0.0, 0.0, 0.003, 0.02, 0.2]), min_size=2, max_size=6),
    think=st.integers(20, 300),
    execution=st.sampled_from(['synchronous', 'asynchronous']),
    pose=st.booleans(),
)
def test_whatever_the_arm_does_a_camera_that_follows_it_stops_nothing(
    lag, speeds, think, execution, pose
):
    film = Filmed(lag=lag, think=think, execution=execution, pose=pose, image_timeout=0.12)
    for speed in speeds:
        film.world.policy.action = np.array([speed / 10, 0, 0, 0, 0, 0, 1.0])
        assert film.film(1000) is None
