# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A frame of an export is the newest that was seen by its time, and what was commanded then."""

from dataclasses import replace

from bag_samples import image
from bag_samples import MS
from bag_samples import named_joints
from bag_samples import of
from bag_samples import recording
from bag_samples import report
from bag_samples import shade
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
import cv2
from export_samples import commanded
from export_samples import exported
from export_samples import GRIPPER
from export_samples import in_time
from export_samples import info
from export_samples import joint_export
from export_samples import listed
from export_samples import mode
from export_samples import numbers
from export_samples import plain
from export_samples import PNG
from export_samples import rows
from export_samples import told
from export_samples import twist
from export_samples import without
import numpy as np
import pytest
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.commands import Commands

CAMERAS = '/image_raw', '/wrist/image_raw'


def shade_of(row, camera='front'):
    """Return what a stored picture shows."""
    data = np.frombuffer(row[f'observation.images.{camera}']['bytes'], np.uint8)
    return int(np.median(cv2.imdecode(data, cv2.IMREAD_COLOR)))


def stamps(found):
    """Return when the pictures of rows were taken, ms since the begin."""
    return [(row['vla_cache.stamp'] - START) // MS for row in found]


def test_every_picture_is_a_frame_at_the_rate_of_the_first_camera(tmp_path):
    exported(write_bag(tmp_path / 'bag', commanded(2)), tmp_path / 'out')
    found = rows(tmp_path / 'out')
    assert info(tmp_path / 'out')['fps'] == 20
    assert stamps(found) == list(range(0, 2000, 50))
    assert [shade_of(row) for row in found] == [shade(ms) for ms in range(0, 2000, 50)]
    assert [shade_of(row, 'wrist') for row in found] == [shade(ms) for ms in range(0, 2000, 50)]
    assert [row['frame_index'] for row in found] == [row['index'] for row in found]
    assert [row['timestamp'] for row in found] == pytest.approx(np.arange(40) / 20)


def test_jitter_of_the_stamps_neither_repeats_nor_loses_a_picture(tmp_path):
    late = iter(np.random.default_rng(0).integers(-9, 10, 80) * MS)
    messages = []
    for time, topic, message in commanded(2):
        if topic in CAMERAS and time > START + 10 * MS:
            delay = int(next(late))
            whole = time - (4 if topic == CAMERAS[0] else 5) * MS + delay
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(whole, 10**9)
            time += delay
        messages.append((time, topic, message))
    bag = write_bag(tmp_path / 'bag', in_time(messages))
    exported(bag, tmp_path / 'out', replace(PNG, fps=20))
    assert [shade_of(row) for row in rows(tmp_path / 'out')] == [
        shade(ms) for ms in range(0, 2000, 50)
    ]
    assert told(tmp_path / 'out')['bags'][0]['repeated'] == 0


def test_a_state_is_that_of_the_pictures_and_an_action_that_of_the_frame(tmp_path):
    exported(write_bag(tmp_path / 'bag', commanded(1)), tmp_path / 'out')
    for row in rows(tmp_path / 'out'):
        taken = (row['vla_cache.stamp'] - START) / 1e9
        assert taken - 0.02 < row['observation.state'][0] <= taken + 1e-6
        due = taken + 0.025  # half a picture's period: the frame's time
        assert due - 0.02 < row['action'][0] <= due + 1e-6
        assert row['action'][1:] == [0.0] * 5 + [1.0]
    features = info(tmp_path / 'out')['features']
    assert features['action']['names'] == [
        'linear_x', 'linear_y', 'linear_z', 'angular_x', 'angular_y', 'angular_z', 'gripper',
    ]  # fmt: skip
    assert features['action']['info']['units'][:4] == ['m/s', 'm/s', 'm/s', 'rad/s']
    assert features['observation.state']['names'][6:] == ['finger_joint1', 'finger_joint2']


def test_a_twist_that_is_not_renewed_lapses_as_the_driver_lets_it(tmp_path):
    messages = without(commanded(2), ['/delta_twist_cmds'], 1000, 1500)
    exported(write_bag(tmp_path / 'bag', messages), tmp_path / 'out')
    found = rows(tmp_path / 'out')
    lapsed = [ms for ms, row in zip(stamps(found), found, strict=True) if row['action'][0] == 0.0]
    assert lapsed == [1250, 1300, 1350, 1400, 1450]  # 0.25 s after the last one, of 980 ms


def test_a_lower_rate_takes_the_newest_and_a_higher_one_counts_what_it_repeats(tmp_path):
    bag = write_bag(tmp_path / 'bag', commanded(2))
    exported(bag, tmp_path / 'slow', replace(PNG, fps=5))
    assert stamps(rows(tmp_path / 'slow')) == list(range(0, 2000, 200))
    exported(bag, tmp_path / 'quick', replace(PNG, fps=40))
    assert told(tmp_path / 'quick')['bags'][0]['repeated'] == 40
    assert stamps(rows(tmp_path / 'quick'))[:4] == [0, 0, 50, 50]


def test_a_short_gap_is_held_and_counted_and_a_long_one_ends_the_episode(tmp_path):
    messages = without(commanded(4), CAMERAS, 1000, 2200)
    bag = write_bag(tmp_path / 'bag', messages)
    exported(bag, tmp_path / 'held')
    found, facts = rows(tmp_path / 'held'), told(tmp_path / 'held')['bags'][0]
    held = [row for row in found if row['vla_cache.held']]
    assert facts['held'] == len(held) > 10 and facts['episodes'] == 1
    assert {shade_of(row) for row in held} == {shade(950)}
    assert len({row['action'][0] for row in held}) == len(held)  # what was commanded meanwhile
    assert len(found) == 80
    exported(bag, tmp_path / 'ended', replace(PNG, cadence=Cadence(1.0, max_gap=0.9)))
    found, facts = rows(tmp_path / 'ended'), told(tmp_path / 'ended')['bags'][0]
    assert facts['episodes'] == 2 and facts['held'] == 0
    assert sorted({row['episode_index'] for row in found}) == [0, 1]
    # a picture serves for image_timeout; nothing is made up in between
    assert not [ms for ms in stamps(found) if 950 < ms < 2200]
    assert any('end of an episode' in note for note in facts['notes'])


def test_an_instruction_begins_an_episode_and_is_its_task(tmp_path):
    messages = [*commanded(2), (START + 1010 * MS, '/instruction', string('push it'))]
    exported(write_bag(tmp_path / 'bag', in_time(messages)), tmp_path / 'out')
    assert [row['tasks'] for row in listed(tmp_path / 'out')] == [['put it there'], ['push it']]
    assert sum(row['length'] for row in listed(tmp_path / 'out')) == len(rows(tmp_path / 'out'))


@pytest.mark.parametrize(
    ('choice', 'episodes', 'person'),
    [('use', 1, {True, False}), ('leave-out', 2, {False}), ('only', 1, {True})],
)
def test_corrections_are_marked_and_used_left_out_or_alone(tmp_path, choice, episodes, person):
    marks = [mode(0, 'policy'), mode(1000, 'person'), mode(2000, 'policy')]
    bag = write_bag(tmp_path / 'bag', in_time([*commanded(3), *marks]))
    exported(bag, tmp_path / 'out', corrections=choice)
    found = rows(tmp_path / 'out')
    assert {row['vla_cache.correction'] for row in found} == person
    assert len(listed(tmp_path / 'out')) == episodes
    for ms, row in zip(stamps(found), found, strict=True):
        assert row['vla_cache.correction'] == (1000 <= ms + 25 < 2000)


def test_what_a_person_commanded_by_other_means_is_not_taken_for_zeros(tmp_path):
    messages = [*without(commanded(3), ['/delta_twist_cmds'], 1000, 2000), mode(1000, 'person')]
    messages = in_time([*messages, mode(2000, 'policy')])
    exported(write_bag(tmp_path / 'bag', messages), tmp_path / 'out')
    found = rows(tmp_path / 'out')
    assert all(row['action'][0] > 0 for row in found[1:])
    assert len(listed(tmp_path / 'out')) == 2 and not any(row['vla_cache.held'] for row in found)
    assert any('by other means' in note for note in told(tmp_path / 'out')['bags'][0]['notes'])


def test_episodes_are_those_of_a_live_node_with_its_reuse(tmp_path):
    messages = commanded(2)
    for index, (episode, step, ms) in enumerate([(1, 0, 200), (1, 1, 600), (2, 0, 1000)]):
        names = [START + ms * MS] * 2
        text = report(episode, step, names, [], reuse=0.25 * index)
        messages.append((START + (ms + 60) * MS, '/vla_node/step_report', text))
    bag = write_bag(tmp_path / 'bag', in_time(messages))
    exported(bag, tmp_path / 'out')
    found = rows(tmp_path / 'out')
    begins = [row for row in found if row['frame_index'] == 0]
    # the first instruction was there before anything ran: the episodes are the node's
    assert stamps(begins) == [200, 1000]
    by_stamp = dict(zip(stamps(found), found, strict=True))
    steps = [by_stamp[ms]['vla_cache.step'] for ms in (200, 300, 700, 1000, 1100)]
    assert steps == [-1, 0, 1, -1, 0]
    assert by_stamp[700]['vla_cache.reuse'] == 0.25
    exported(bag, tmp_path / 'passed', report='')
    assert (
        len(listed(tmp_path / 'passed')) == 1
        and 'vla_cache.step' not in rows(tmp_path / 'passed')[0]
    )


def test_joint_targets_hold_and_are_named(tmp_path):
    messages = [
        one for one in recording(2) if one[1] not in ('/joint_states', '/end_effector_pose')
    ]
    for ms in range(0, 2000, 20):
        stamp = START + ms * MS
        messages.append(
            (stamp, '/joint_states', named_joints(stamp, shoulder=0.1, elbow=ms * 1e-3))
        )
    messages += [numbers(ms, '/joint_position_commands', 0.5, ms * 1e-3) for ms in (0, 400, 900)]
    bag = write_bag(tmp_path / 'bag', in_time(messages))
    exported(
        bag, tmp_path / 'out', joint_export(), arm_joints=('shoulder', 'elbow'), finger_joints=()
    )
    found, features = rows(tmp_path / 'out'), info(tmp_path / 'out')['features']
    assert features['action']['names'] == features['observation.state']['names']
    assert features['action']['names'] == ['shoulder', 'elbow']
    assert [row['action'][1] for row in found] == pytest.approx(
        [0.0] * 4 + [0.4] * 5 + [0.9] * 11, abs=1e-6
    )


def test_a_trajectory_names_its_joints_and_begins_with_the_target(tmp_path):
    messages = recording(1)
    time = of('builtin_interfaces/msg/Duration', sec=0, nanosec=0)
    for ms in range(0, 1000, 50):
        points = [
            of(
                'trajectory_msgs/msg/JointTrajectoryPoint', positions=np.array([first, 9.0]),
                velocities=np.zeros(2), accelerations=np.zeros(0), effort=np.zeros(0),
                time_from_start=time,
            )
            for first in (ms * 1e-3, 5.0)
        ]  # fmt: skip
        head = of(
            'std_msgs/msg/Header',
            stamp=of('builtin_interfaces/msg/Time', sec=0, nanosec=0),
            frame_id='',
        )
        message = of(
            'trajectory_msgs/msg/JointTrajectory',
            header=head,
            joint_names=['a', 'b'],
            points=points,
        )
        messages.append((START + ms * MS, '/joint_trajectory', message))
    exported(write_bag(tmp_path / 'bag', in_time(messages)), tmp_path / 'out')
    assert info(tmp_path / 'out')['features']['action']['names'] == ['a', 'b']
    assert rows(tmp_path / 'out')[3]['action'] == pytest.approx([0.15, 9.0])


def test_a_command_that_is_no_number_is_left_out_and_told(tmp_path):
    messages = [*commanded(1), twist(505, float('nan')), numbers(510, GRIPPER)]
    exported(write_bag(tmp_path / 'bag', in_time(messages)), tmp_path / 'out')
    assert np.isfinite([row['action'] for row in rows(tmp_path / 'out')]).all()
    notes = told(tmp_path / 'out')['bags'][0]['notes']
    assert sum('no finite numbers' in note for note in notes) == 2


def test_frames_begin_once_everything_was_seen_and_commanded(tmp_path):
    messages = without(commanded(2), ['/delta_twist_cmds'], 0, 701)
    exported(write_bag(tmp_path / 'bag', messages), tmp_path / 'out')
    assert stamps(rows(tmp_path / 'out'))[0] == 700
    exported(
        write_bag(tmp_path / 'plain', plain()), tmp_path / 'other',
        replace(PNG, commands=Commands(gripper='')),
    )  # fmt: skip
    assert len(rows(tmp_path / 'other')[0]['action']) == 6


def test_a_picture_of_another_clock_is_put_in_its_place(tmp_path):
    messages = []
    for time, topic, message in commanded(2):
        if topic == '/image_raw':
            whole = time - 4 * MS + 3600 * 10**9
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(whole, 10**9)
        messages.append((time, topic, message))
    exported(write_bag(tmp_path / 'bag', messages), tmp_path / 'out')
    found = rows(tmp_path / 'out')
    assert [shade_of(row) for row in found] == [shade_of(row, 'wrist') for row in found]
    assert len(found) == 40
    assert any('ahead of' in note for note in told(tmp_path / 'out')['bags'][0]['notes'])


def test_a_picture_that_does_not_decode_is_no_frame(tmp_path):
    messages = [one for one in commanded(1) if not one[1].endswith('image_raw')]
    for ms in range(0, 1000, 50):
        for topic in CAMERAS:
            message = image(START + ms * MS, shade(ms))
            if ms == 500 and topic == '/image_raw':
                message.data = np.zeros_like(message.data)  # black
            messages.append((START + (ms + 4) * MS, topic, message))
    exported(write_bag(tmp_path / 'bag', in_time(messages)), tmp_path / 'out')
    found = rows(tmp_path / 'out')
    assert [row['vla_cache.held'] for row in found].index(True) == 10
    assert shade_of(found[10]) == shade(450) and shade_of(found[11]) == shade(550)
