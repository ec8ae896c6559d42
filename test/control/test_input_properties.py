# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of any stamps in any order: no observation is older, or wider, than was asked for."""

from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
from vla_cache_ros.control.sensing.inputs import CAUSES
from vla_cache_ros.control.sensing.inputs import HISTORY
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.sensing.joints import REORDERED
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.states import StateLayout

MS = 1_000_000
NOW = 1_700_000_000 * 10**9
STAMPS = st.one_of(
    st.integers(-400, 400).map(lambda ms: NOW + ms * MS),
    st.sampled_from([0, -(10**9), 2**31 * 10**9, NOW + 1]),
)
CAMERAS = ('left', 'right')
SLOPS = st.sampled_from([0.0, 0.001, 0.05, 0.05, 0.3])


def image(stamp, good=True):
    header = SimpleNamespace(stamp=SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9))
    message = SimpleNamespace(header=header)
    if not good:
        message.encoding = 'nonsense'
    return message


def joints(stamp, good=True):
    message = image(stamp)
    message.name, message.position = ['finger'], [0.01 if good else float('nan')]
    return message


def pose(stamp, good=True):
    message = image(stamp)
    message.header.frame_id = 'base_link' if good else 'elsewhere'
    zero = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    message.pose = SimpleNamespace(position=zero, orientation=zero)
    return message


STATES = {'joint_states': joints, 'end_effector_pose': pose}


class InputsMachine(RuleBasedStateMachine):
    """Keep, beside the inputs, the stamps that each topic may still be read from."""

    @initialize(cameras=st.integers(1, 2), state=st.booleans())
    def begin(self, cameras, state):
        self.cameras, self.now = CAMERAS[:cameras], NOW - 400 * MS
        layout = StateLayout(('finger',)) if state else None
        self.inputs = Inputs(self.cameras, StateInput(layout, PoseSource('base_link')))
        self.topics = (*self.cameras, *self.inputs.states)
        assert set(self.inputs.states) == (set(STATES) if state else {'end_effector_pose'})
        self.stamps, self.bad = {topic: [] for topic in self.topics}, set()

    @rule(index=st.integers(0, 3), stamp=STAMPS, good=st.sampled_from([True] * 4 + [False]))
    def take(self, index, stamp, good):
        self.give(self.topics[index % len(self.topics)], stamp, good)

    @rule(
        by=st.sampled_from([0, 10, 100, 300, -150]),
        offsets=st.lists(st.sampled_from([0, 1e-6, 1, 50, 60, 80]), min_size=4, max_size=4),
    )
    def take_one_of_each(self, by, offsets):
        self.now += by * MS
        for topic, offset in zip(self.topics, offsets, strict=False):
            self.give(topic, self.now + int(offset * MS))

    def give(self, topic, stamp, good=True):
        message = STATES.get(topic, image)(stamp, good)
        kept = self.stamps[topic]
        if topic in STATES:
            assert self.inputs.take_state(topic, message), 'it is used'
        else:
            self.inputs.take_image(topic, message, 1e-9 * stamp)
        if topic == 'joint_states' and kept and 0 < kept[-1] - stamp <= REORDERED:
            return  # it came late, good or not
        (self.bad.discard if good else self.bad.add)(topic)
        if good:
            begun_anew = kept and stamp < kept[-1]
            self.stamps[topic] = [*([] if begun_anew else kept), stamp][-HISTORY:]

    @rule(text=st.sampled_from(['go', ' go ', 'stop', '']))
    def instruct(self, text):
        self.inputs.take_instruction(text)

    @rule()
    def forget(self):
        self.inputs.forget()
        self.stamps, self.bad = {topic: [] for topic in self.topics}, set()

    @rule(after=st.sampled_from([-200, -1, 0, 1, 31, 70, 90]), slop=SLOPS)
    def newest_set(self, after, slop):
        for one in (10.0, slop):
            self.check_set(self.now + after * MS, one)

    def check_set(self, after, slop):
        found = self.inputs.newest_set(after, slop)
        newest = [self.stamps[topic][-1] for topic in self.topics if self.stamps[topic]]
        if found is None:
            images = newest[: len(self.cameras)]
            spread = max(images) - min(images) if images else 0
            complete = len(newest) == len(self.topics)
            assert not (complete and min(newest) >= after and spread <= round(slop * 1e9))
            return
        stamps = [frame.stamp for frame in found.images]
        assert min(stamps) >= after and found.stamp == min(stamps)
        assert max(stamps) - min(stamps) <= round(slop * 1e9)
        assert found.received == max(frame.received for frame in found.images)
        for topic, stamp in zip(self.cameras, stamps, strict=True):
            assert stamp in self.stamps[topic]
        # no newer set would have done
        assert max(stamps) <= max(newest[: len(self.cameras)])
        images = newest[: len(self.cameras)]
        if max(images) - min(images) <= round(slop * 1e9):
            assert max(stamps) >= min(images)
        for topic, stamp in zip(
            ('end_effector_pose', 'joint_states'), found.state.stamps, strict=False
        ):
            assert stamp == self.stamps[topic][-1] >= after
        assert len(found.state.stamps) == len(self.topics) - len(self.cameras)

    @rule(slop=SLOPS, late=st.sampled_from([0, 100, 5000]), timeout=st.sampled_from([0.05, 1.0]))
    def problems(self, slop, late, timeout):
        now = NOW + late * MS
        found = self.inputs.problems(now, timeout, timeout, slop)
        assert {cause for cause, _ in found} <= CAUSES
        assert all(text and text.isprintable() for text in found.values())
        for topic in self.topics:
            named = any(topic == source for _, source in found)
            stamps = self.stamps[topic]
            usable = stamps and stamps[-1] and abs(now - stamps[-1]) <= timeout * 1e9
            assert named == (topic in self.bad or not usable)
        if found:
            return
        assert self.inputs.instruction
        images = self.inputs.newest_set(now - int(timeout * 1e9) - 1, slop)
        assert images is not None, 'nothing is wrong, so there is an observation'

    @invariant()
    def the_pose_is_the_newest(self):
        if hasattr(self, 'inputs'):
            assert (self.inputs.pose() is None) == (not self.stamps['end_effector_pose'])


TestInputs = InputsMachine.TestCase
TestInputs.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
