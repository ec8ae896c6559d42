# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The observations taken out of a recording are those that the live node used, or would have."""

from collections import Counter

from bag_samples import image
from bag_samples import joints
from bag_samples import live
from bag_samples import MS
from bag_samples import picture
from bag_samples import pose
from bag_samples import recording
from bag_samples import report
from bag_samples import shade
from bag_samples import START
from bag_samples import strange
from bag_samples import string
from bag_samples import write_bag
import numpy as np
import pytest
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.bags.walk import walk

STRANGE = BagTopics(('/cam', '/cam2'), text='wave', joints='', pose='')


def steps_of(folder, topics=BagTopics(), cadence=Cadence(0.4), notes=None):  # noqa: B008
    """Return all steps of a bag."""
    return list(walk(Bag(folder), topics, cadence, notes))


def times(steps):
    """Return the stamps in ms since the begin."""
    return [(step.stamp - START) // MS for step in steps]


def shades(step):
    """Return what the pictures of a step show."""
    return [int(np.median(picture)) for picture in step.observation.images]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_observations_come_once_a_period_with_their_state(tmp_path, storage):
    steps = steps_of(write_bag(tmp_path / 'bag', recording(2), storage))
    assert times(steps) == [0, 400, 800, 1200, 1600]
    assert {step.episode for step in steps} == {0}
    assert {step.observation.instruction for step in steps} == {'put it there'}
    assert shades(steps[2]) == [shade(800)] * 2
    assert np.array_equal(steps[0].observation.images[0], picture(shade(0)))
    state = steps[2].observation.proprio
    assert state.shape == (8,)
    assert state[0] == pytest.approx(0.8) and state[6:] == pytest.approx([0.008, 0.008])
    assert steps[0].report is None


def test_an_offset_gives_other_observations(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(2))
    assert times(steps_of(folder, cadence=Cadence(0.4, 0.2))) == [200, 600, 1000, 1400, 1800]


def test_two_cameras_at_different_rates_are_taken_together(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(3, wrist_period=330))
    steps = steps_of(folder, cadence=Cadence(0.4, sync_slop=0.05))
    assert len(steps) > 3
    for step in steps:
        first, wrist = shades(step)
        assert abs(first - wrist) <= 5  # 50 ms
    assert all(
        later - earlier >= 200
        for earlier, later in zip(times(steps), times(steps)[1:], strict=False)
    )


def test_an_instruction_a_gap_and_a_clock_set_back_begin_an_episode(tmp_path):
    messages = recording(1)
    last = messages[-1][0]
    messages += [(last + MS, '/instruction', string('put it there'))]  # the same: no episode
    messages += moved(recording(1, instruction='and back'), 1000)
    messages += moved(recording(1, instruction='and back'), 12_000)  # ten seconds later
    back = moved(recording(1, instruction='and back'), 13_000)
    for _, topic, message in back:
        if topic != '/instruction':
            message.header.stamp.sec -= 1
            message.header.stamp.nanosec += 400 * MS  # as if the clock were set back by 0.6 s
            carry, message.header.stamp.nanosec = divmod(message.header.stamp.nanosec, 10**9)
            message.header.stamp.sec += carry
    notes = Counter()
    cadence = Cadence(0.4, image_timeout=1.0, state_timeout=1.0)
    steps = steps_of(write_bag(tmp_path / 'bag', messages + back), cadence=cadence, notes=notes)
    found = Counter(step.episode for step in steps)
    assert sorted(found) == [0, 1, 2, 3] and min(found.values()) >= 2
    assert any('went back' in note for note in notes)


def moved(messages, ms):
    """Return messages of a recording, all of them later."""
    for _, topic, message in messages:
        if topic != '/instruction':
            seconds, rest = divmod(ms, 1000)
            message.header.stamp.sec += seconds
            message.header.stamp.nanosec += rest * MS
    return [(time + ms * MS, topic, message) for time, topic, message in messages]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_strangers_bag_is_read_by_its_own_names(tmp_path, storage):
    steps = steps_of(write_bag(tmp_path / 'bag', strange(), storage), STRANGE)
    assert times(steps) == [0, 400, 800, 1200]
    assert steps[1].observation.proprio is None
    assert steps[1].observation.instruction == 'wave'
    assert shades(steps[1])[0] == pytest.approx(shade(400), abs=3)


def test_missing_topics_are_listed_with_what_there_is_and_how_to_name_it(tmp_path):
    bag = Bag(write_bag(tmp_path / 'bag', strange()))
    with pytest.raises(ValueError) as error:
        walk(bag, BagTopics(), Cadence(0.4))
    for part in (
        '/image_raw', '--image-topic', '/instruction', '--instruction-topic',
        '/cam/compressed (sensor_msgs/msg/CompressedImage)',
    ):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(ValueError, match='--pose-topic'):
        STRANGE.check(bag, needs_state=True)
    STRANGE.check(bag, needs_state=False)


def test_what_stands_in_the_way_is_noted(tmp_path):
    messages = [m for m in recording(1) if m[1] != '/wrist/image_raw']
    messages.append((START + 2 * 10**9, '/wrist/image_raw', image(START + 2 * 10**9, 99)))
    notes = Counter()
    assert steps_of(write_bag(tmp_path / 'bag', messages), notes=notes) == []
    assert notes['waiting for image /wrist/image_raw'] > 10


def at(*stamps):
    """Return stamps in ns of times in ms."""
    return [START + ms * MS for ms in stamps]


def test_the_frames_of_the_live_node_are_found_by_their_stamps(tmp_path):
    folder = write_bag(
        tmp_path / 'bag',
        live([
            (700, report(4, 0, at(100, 150), at(80, 120))),  # inference took half a second
            (1101, report(4, 1, at(1100, 1100), at(1080, 1100), gate='motion')),
            (1500, report(5, 0, at(1450, 1450), at(1460, 1460), gate='motion')),
            (1550, report(5, 1, at(1500, 1500), at(1500, 1500), gate='motion', command_stamp=0)),
        ]),
    )  # fmt: skip
    steps = steps_of(folder)
    assert [shades(step) for step in steps] == [
        [shade(100), shade(150)], [shade(1100)] * 2, [shade(1450)] * 2, [shade(1500)] * 2,
    ]  # fmt: skip
    assert steps[0].observation.proprio[[0, 6]] == pytest.approx([0.08, 0.0012])
    assert steps[0].observation.instruction == 'as reported'
    assert steps[0].report['step'] == 0
    assert [step.episode for step in steps] == [0, 1, 2, 3]  # gate, number, dry run
    assert times(steps)[0] == 100


def test_a_new_run_of_the_node_begins_an_episode(tmp_path):
    messages = recording(2) + [(START + 600 * MS, '/vla_node/run_info', string('{}'))]
    reports = [
        (500, report(1, 0, at(400, 400), at(400, 400))),
        (900, report(1, 0, at(800, 800), at(800, 800))),
        (1300, report(1, 1, at(1200, 1200), at(1200, 1200))),
    ]
    steps = steps_of(write_bag(tmp_path / 'bag', live(reports, messages)))
    assert [step.episode for step in steps] == [0, 1, 1]


def test_reports_of_old_name_no_states_and_get_the_newest_ones(tmp_path):
    reports = [(500, report(1, 0, at(400, 400), None))]
    text = reports[0][1]
    text.data = text.data.replace('"state_stamps": null, ', '')
    steps = steps_of(write_bag(tmp_path / 'bag', live(reports)))
    assert steps[0].observation.proprio[0] == pytest.approx(0.4)


def test_a_report_whose_images_were_not_recorded_is_noted(tmp_path):
    reports = [
        (500, report(1, 0, at(401, 401), at(400, 400))),
        (900, report(1, 1, at(800, 800), at(800, 800))),
    ]
    notes = Counter()
    steps = steps_of(write_bag(tmp_path / 'bag', live(reports)), notes=notes)
    assert times(steps) == [800]
    assert notes['a report names images or states that are not in the bag'] == 1


def test_reports_can_be_passed_over(tmp_path):
    folder = write_bag(tmp_path / 'bag', live([(500, report(1, 0, at(401, 401), at(400, 400)))]))
    assert len(steps_of(folder, BagTopics(report=''))) == 5


def test_reports_of_a_node_with_fewer_cameras_leave_the_choice_to_time(tmp_path):
    notes = Counter()
    folder = write_bag(tmp_path / 'bag', live([(500, report(1, 0, at(400), at(400, 400)))]))
    assert len(steps_of(folder, notes=notes)) == 5
    assert any('fewer cameras' in note for note in notes)


def test_a_state_without_the_named_fingers_is_noted(tmp_path):
    notes = Counter()
    folder = write_bag(
        tmp_path / 'bag',
        [
            *recording(0.5),
            (START + 10**9, '/joint_states', joints(START + 10**9, 0.0)),
            (START + 10**9, '/end_effector_pose', pose(START + 10**9, 0.0)),
        ],
    )
    assert steps_of(folder, BagTopics(finger_joints=('thumb',)), notes=notes) == []
    assert any('expected the joints thumb' in note for note in notes)


def test_a_period_of_nothing_is_refused():
    with pytest.raises(ValueError, match='period above 0'):
        Cadence(0.0)
