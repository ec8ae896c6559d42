# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked for and when: commands are bounded, stops counted, chunks on time."""

from dataclasses import replace
import math

from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
import numpy as np
import pytest
from vla_cache_ros.control.motion.limits import Limiter
from vla_cache_ros.control.motion.limits import velocities
from vla_cache_ros.control.motion.playback import Due
from vla_cache_ros.control.motion.playback import Playback
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.safety import StopCauses
from vla_cache_ros.control.safety import UnsafeAction
from vla_cache_ros.control.vla_parameters import VLAParameters

NUMBERS = [st.floats(-0.3, 0.3), st.floats(-3, 3), st.floats(allow_nan=False), st.floats()]
ACTIONS = st.one_of([arrays(float, 7, elements=numbers) for numbers in NUMBERS])
ELAPSED = st.sampled_from([0.0, 0.001, 0.02, 0.02, 0.02, 0.3, 1e9, -0.5, -1e9])
PLACES = arrays(float, 3, elements=st.one_of(st.floats(-0.2, 0.2), st.floats(-1e6, 1e6)))
LIVE = {
    'max_linear_velocity': st.floats(0, 5),
    'max_angular_velocity': st.floats(0, 20),
    'max_linear_acceleration': st.floats(0.01, 1000),
    'max_angular_acceleration': st.floats(0.01, 1000),
}
BOX = (-0.1, -0.1, -0.1, 0.1, 0.1, 0.1)
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def norm(vector):
    return math.hypot(*vector)


class LimiterMachine(RuleBasedStateMachine):
    """Ask for anything, at any time and place, under limits that change."""

    @initialize(rate=st.sampled_from([1.0, 50.0, 500.0]), box=st.sampled_from([(), BOX]))
    def begin(self, rate, box):
        self.parameters = VLAParameters(publish_rate=rate, control_frequency=1.0, workspace=box)
        self.limiter = Limiter()
        self.before, self.resting = (np.zeros(3), np.zeros(3)), True

    @rule(name=st.sampled_from(list(LIVE)), data=st.data())
    def change(self, name, data):
        self.parameters = replace(self.parameters, **{name: data.draw(LIVE[name])})

    @rule()
    def rest(self):
        self.limiter.rest()
        self.before, self.resting = (np.zeros(3), np.zeros(3)), True

    @rule(action=ACTIONS, elapsed=ELAPSED, place=PLACES)
    def move(self, action, elapsed, place):
        if not np.isfinite(action).all():
            with pytest.raises(UnsafeAction):
                check_actions(action[None], 7)
            return
        (checked,) = check_actions(action[None], 7)
        given = self.parameters
        command = self.limiter(checked, given, elapsed, place if given.workspace else None)
        period = 1 / given.publish_rate
        if not self.resting:
            period = min(max(elapsed, 0.0), period)
        for now, before, fastest, change in (
            (command.linear, self.before[0], given.max_linear_velocity,
             given.max_linear_acceleration),
            (command.angular, self.before[1], given.max_angular_velocity,
             given.max_angular_acceleration),
        ):  # fmt: skip
            assert np.isfinite(now).all()
            # above a limit that was just lowered the arm brakes, no harder than it may
            assert norm(now) <= max(fastest, norm(before)) * (1 + 1e-9) + 1e-12
            if 'workspace' not in command.limited:
                assert norm(now - before) <= change * period * (1 + 1e-9) + 1e-9
        assert 0 <= command.gripper <= 1 and not command.stop
        self.stays_in_the_box(command.linear, checked, place, period)
        self.before, self.resting = (command.linear, command.angular), False

    def stays_in_the_box(self, linear, action, place, period):
        given = self.parameters
        if not given.workspace:
            return
        low, high = np.array(BOX[:3]), np.array(BOX[3:])
        assert not np.any((place < low) & (linear < 0)), 'leads further out'
        assert not np.any((place > high) & (linear > 0))
        tick = 1 / given.publish_rate
        inside = (place >= low) & (place <= high)
        after = place + linear * tick
        braking = linear**2 / (2 * given.max_linear_acceleration)
        reach = after + np.sign(linear) * braking
        assert np.all(reach[inside] >= (low - 1e-9)[inside] * (1 + 1e-9))
        assert np.all(reach[inside] <= (high + 1e-9)[inside] * (1 + 1e-9))
        # a wall shortens what was let through up to here, and turns nothing round
        wanted = velocities(action, given)[0]
        assert np.all((linear * wanted >= 0) | (linear * self.before[0] >= 0))


class CausesMachine(RuleBasedStateMachine):
    """Raise, clear and replace reasons to stop, beside a dict and a list of edges."""

    KEYS = st.tuples(st.sampled_from(['stale', 'estop', 'paused']), st.sampled_from(['', 'left']))
    WORDS = st.sampled_from(['old', 'older'])

    def __init__(self):
        super().__init__()
        self.causes, self.active, self.edges = StopCauses(), {}, []

    @rule(key=KEYS, text=WORDS)
    def raise_cause(self, key, text):
        new = key not in self.active
        assert self.causes.raise_cause(key[0], text, key[1]) == new
        self.active[key] = text
        self.edges += [key[0]] * new

    @rule(names=st.sets(st.sampled_from(['stale', 'estop', 'unknown'])))
    def clear(self, names):
        self.causes.clear(names)
        self.active = {k: v for k, v in self.active.items() if k[0] not in names}

    @rule(wanted=st.dictionaries(KEYS, WORDS), among=st.sets(st.sampled_from(['stale', 'paused'])))
    def replace(self, wanted, among):
        wanted = {key: text for key, text in wanted.items() if key[0] in among}
        new = [text for key, text in wanted.items() if key not in self.active]
        assert self.causes.replace(wanted, among) == new
        self.edges += [key[0] for key in wanted if key not in self.active]
        self.active = {k: v for k, v in self.active.items() if k[0] not in among} | wanted

    @invariant()
    def agrees(self):
        assert bool(self.causes) == bool(self.active)
        assert self.causes.names() == {cause for cause, _ in self.active}
        assert sorted(self.causes.messages()) == sorted(
            f'{cause}: {text}' for (cause, _), text in self.active.items()
        )
        for name in {'stale', 'estop', 'paused'}:
            assert self.causes.counts[name] == self.edges.count(name)


PERIOD, TIMEOUT = 100, 300
LENGTH = 4
WAITS = st.sampled_from([0, 1, 20, 60, 100, 100, 250, 300, 301, 5000, -1, -400])


class PlaybackMachine(RuleBasedStateMachine):
    """Start, ask and stop at any time; each action says to which instant it belongs."""

    @initialize(decay=st.sampled_from([None, 0.0, 0.7]), tolerance=st.sampled_from([0, 10]))
    def begin(self, decay, tolerance):
        self.decay, self.tolerance = decay, tolerance
        self.playback = Playback(PERIOD, tolerance, TIMEOUT, decay)
        self.now = self.asked = 10_000
        self.chunks, self.number = [], 0

    @rule(by=WAITS, ago=st.sampled_from([None, 0, 50, 130, 900, -70]))
    def start(self, by, ago):
        self.now += by
        self.number += 1
        actions = np.zeros((LENGTH, 7))
        actions[:, 0], actions[:, 6] = self.number, np.arange(LENGTH)
        if not 0 <= self.now - self.asked <= TIMEOUT or self.decay is None:
            self.chunks = []
        self.playback.start(actions, self.now, None if ago is None else self.now - ago)
        assert self.playback.playing
        # begun no earlier than it was observed, and never in what is yet to come
        begin = self.playback._chunks[-1].begin
        assert self.now - max(ago or 0, 0) <= begin <= self.now
        self.chunks.append((self.number, begin))
        self.asked = self.now

    @rule()
    def stop(self):
        self.playback.stop()
        self.chunks = []
        assert not self.playback.playing

    @rule(by=WAITS)
    def due(self, by):
        self.now += by
        due, gap = self.playback.due(self.now), self.now - self.asked
        self.asked = self.now
        if not self.chunks:
            assert due is Due.NOTHING
            return
        if not 0 <= gap <= TIMEOUT:
            assert due is Due.LAPSED
            self.chunks = []
            return
        index = {n: (self.now - begin + self.tolerance) // PERIOD for n, begin in self.chunks}
        self.chunks = [(n, begin) for n, begin in self.chunks if index[n] < LENGTH]
        if not self.chunks:
            assert due is Due.FINISHED
            return
        newest = self.chunks[-1][0]
        assert isinstance(due, np.ndarray) and np.isfinite(due).all()
        assert due[6] == index[newest] >= 0  # the action of this instant, of the newest chunk
        numbers = [n for n, _ in self.chunks]
        weights = [math.exp(-(self.decay or 0) * age) for age in range(len(numbers))[::-1]]
        assert due[0] == pytest.approx(np.average(numbers, weights=weights))

    @invariant()
    def agrees(self):
        if hasattr(self, 'playback'):
            assert self.playback.playing == bool(self.chunks)


SETTINGS = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=QUIET
)
TestLimiter = LimiterMachine.TestCase
TestCauses = CausesMachine.TestCase
TestPlayback = PlaybackMachine.TestCase
TestLimiter.settings = TestCauses.settings = TestPlayback.settings = SETTINGS
