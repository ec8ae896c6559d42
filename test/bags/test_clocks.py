# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A clock that is steadily wrong is put right; one that is not gives way to recording time."""

from collections import Counter
from tempfile import TemporaryDirectory

from bag_samples import MS
from bag_samples import recording
from bag_samples import START
from bag_samples import strange
from bag_samples import write_bag
from hypothesis import assume
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.bags.clocks import headers
from vla_cache_ros.bags.clocks import TOLERATED
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.bags.walk import walk

SENSORS = ('/image_raw', '/wrist/image_raw', '/joint_states', '/end_effector_pose')


def shift(messages, offsets, late=lambda topic, time: 0):
    """Return messages whose stamps are off (ns, by topic) and that are recorded later (ns)."""
    moved = []
    for time, topic, message in messages:
        for _, header in headers(message) if topic in offsets else ():
            stamp = header.stamp.sec * 10**9 + header.stamp.nanosec + offsets[topic]
            header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        moved.append((time + late(topic, time), topic, message))
    return sorted(moved, key=lambda triple: triple[0])


def observed(messages, notes=None, topics=BagTopics()):  # noqa: B008
    """Return what each observation shows: mean of both pictures, and state."""
    with TemporaryDirectory() as folder:
        bag = Bag(write_bag(f'{folder}/bag', messages, zstd=False))
        return [
            [*(round(float(np.median(i))) for i in step.observation.images)]
            + step.observation.proprio.round(6).tolist()
            for step in walk(bag, topics, Cadence(0.4), Counter() if notes is None else notes)
        ]


def alike():
    """Return a recording whose messages all take one time to it."""
    return [
        (time // (10 * MS) * 10 * MS + MS, topic, message)
        for time, topic, message in recording(1.5)
    ]


OFFSETS = st.one_of(
    st.floats(0.12, 1e5),
    st.floats(-1e5, -0.12),
    st.sampled_from([5.3, 3600.0, -3600.0, 0.4, -0.4, 0.0]),
)


@example([5.3, 0.0, 0.0, 0.0])
@example([0.4, 0.0, 0.0, 0.0])
@example([-0.4] * 4)
@settings(max_examples=25, deadline=None)
@given(st.lists(OFFSETS, min_size=4, max_size=4))
def test_any_steady_offset_gives_the_observations_of_none(seconds):
    offsets = {t: round(s * 1e9) for t, s in zip(SENSORS, seconds, strict=True)}
    apart = np.diff(sorted(set(offsets.values())))
    assume((apart > TOLERATED).all())  # closer ones are taken for one clock and for delays
    notes = Counter()
    found = observed(shift(alike(), offsets), notes)
    assert found == observed(alike()) and len(found) == 4
    assert len([note for note in notes if 'taken off' in note]) == np.count_nonzero(seconds)
    assert not any('recording time is taken for' in note for note in notes)


def test_topics_of_one_wrong_clock_keep_their_order():
    offsets = dict.fromkeys(SENSORS, -3600 * 10**9)
    assert observed(shift(recording(1.5), offsets)) == observed(recording(1.5))


def test_jitter_of_the_recording_leaves_the_spacing_of_an_offset_clock():
    rng = np.random.default_rng(0)
    late = {}
    for topic in SENSORS:
        late[topic] = iter(np.where(rng.random(500) < 0.3, 0, rng.integers(0, 25, 500)) * MS)
    jittered = shift(
        recording(2), dict.fromkeys(SENSORS, -3600 * 10**9),
        lambda topic, time: int(next(late[topic])) if topic in late else 0,
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        steps = list(walk(Bag(write_bag(f'{folder}/b', jittered)), BagTopics(), Cadence(0.4)))
    stamps = np.array([step.stamp for step in steps])
    assert len(stamps) == 5 and set(np.diff(stamps) // MS) == {400}
    assert abs(stamps[0] - START) <= 10 * MS


def test_the_note_says_how_much_was_taken_off_and_on_which_side():
    notes = Counter()
    observed(shift(recording(1), {'/image_raw': -round(5.3e9), '/joint_states': 10**10}), notes)
    assert '/image_raw: header stamps are 5.30 s behind recording time; that is taken off' in notes
    assert any(
        note.startswith('/joint_states finger_joint1: header stamps are 10.00 s ahead of')
        for note in notes
    )


def test_stamps_within_what_a_message_takes_are_left_alone():
    notes = Counter()
    offsets = dict.fromkeys(SENSORS, -80 * MS)
    assert observed(shift(recording(1), offsets), notes) == observed(recording(1))
    assert not any('stamps' in note for note in notes)


@pytest.mark.parametrize(
    'stamp_of', [lambda ms: 0, lambda ms: 10**9 + ms * MS // 2, lambda ms: START + ms * 3 * MS]
)
def test_a_clock_that_is_not_steady_is_replaced_by_recording_time(tmp_path, stamp_of):
    notes = Counter()
    topics = BagTopics(('/cam', '/cam2'), text='wave', joints='', pose='')
    messages = strange(stamp_of)
    messages += [
        (t + 4 * 10**9, topic, m) for t, topic, m in strange(lambda ms: stamp_of(ms + 4000))
    ]
    steps = list(walk(Bag(write_bag(tmp_path / 'bag', messages)), topics, Cadence(0.4), notes))
    assert [(step.stamp - START) // MS for step in steps][:4] == [3, 403, 803, 1203]
    assert any('recording time is taken for them' in note for note in notes)


def test_a_steady_clock_that_leaps_is_believed_no_longer(tmp_path):
    notes = Counter()
    topics = BagTopics(('/cam', '/cam2'), text='wave', joints='', pose='')
    messages = [
        (t, topic, m)
        for k in range(5)
        for t, topic, m in (
            (t + k * 1500 * MS, topic, m)
            for t, topic, m in strange(
                lambda ms, k=k: START + (ms + 1500 * k + (7000 if k == 4 else 0)) * MS
            )
        )
    ]
    steps = list(walk(Bag(write_bag(tmp_path / 'bag', messages)), topics, Cadence(0.4), notes))
    gaps = np.diff([step.stamp for step in steps]) // MS
    assert len(steps) >= 17 and gaps.max() <= 450
    assert any('7.00 s ahead of recording time; recording time is taken' in n for n in notes)
