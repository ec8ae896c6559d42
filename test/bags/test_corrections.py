# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a person did after taking the arm over is marked in a bag, and used, left out or alone."""

from collections import Counter
import json

from bag_samples import live
from bag_samples import MS
from bag_samples import recording
from bag_samples import report
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
import pytest
from vla_cache_ros.bags.corrections import read_mode
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import Cadence
from vla_cache_ros.bags.walk import walk

CONTROL = '/vla_node/control_mode'


def mode(ms, who):
    """Return a message of the node about who has the arm from a time (ms) on."""
    text = json.dumps({'control': who, 'by': 'teleop_twist_cmds', 'stamp': START + ms * MS})
    return (START + ms * MS, CONTROL, string(text))


def corrected(seconds=4.0):
    """Return a run's messages; a person has the arm from 1 s to 2 s and from 3 s to 3.5 s."""
    changes = [(0, 'policy'), (1000, 'person'), (2000, 'policy'), (3000, 'person')]
    marks = [mode(ms, who) for ms, who in [*changes, (3500, 'policy')]]
    return sorted([*recording(seconds), *marks], key=lambda triple: triple[0])


def reports(changes):
    """Return reports every 200 ms; changes: whether a person has the arm, by report."""
    found = []
    for index, person in enumerate(changes):
        stamps = [START + 200 * index * MS] * 2
        who = {'control': 'person', 'command_stamp': 0} if person else {'control': 'policy'}
        found.append((200 * index + 60, report(1, index, stamps, stamps, **who)))
    return found


def walked(folder, choice='use', cadence=Cadence(0.2), notes=None, **topics):  # noqa: B008
    """Return (episode, ms, whether it is a correction) of each step."""
    steps = walk(Bag(folder), BagTopics(corrections=choice, **topics), cadence, notes)
    return [(s.episode, round((s.stamp - START) / MS), s.correction) for s in steps]


def test_observations_of_a_person_are_marked_and_the_rest_is_as_without_marks(tmp_path):
    steps = walked(write_bag(tmp_path / 'bag', corrected()))
    assert steps == [(0, ms, 1000 <= ms < 2000 or 3000 <= ms < 3500) for ms in range(0, 4000, 200)]
    plain = walked(write_bag(tmp_path / 'plain', recording(4)))
    assert [step[:2] for step in plain] == [step[:2] for step in steps]


def test_left_out_or_alone_each_span_is_an_episode(tmp_path):
    folder = write_bag(tmp_path / 'bag', corrected())
    policys = walked(folder, 'leave-out')
    assert not any(correction for _, _, correction in policys)
    assert Counter(episode for episode, *_ in policys) == {0: 5, 1: 5, 2: 3}
    assert [ms for episode, ms, _ in policys if episode == 1] == pytest.approx(
        [2000, 2200, 2400, 2600, 2800]
    )
    persons = walked(folder, 'only')
    assert all(correction for _, _, correction in persons)
    assert Counter(episode for episode, *_ in persons) == {0: 5, 1: 3}
    later = walked(folder, 'leave-out', Cadence(0.2, offset=0.1))
    begins = [min(ms for e, ms, _ in policys if e == episode) for episode in range(3)]
    assert [min(ms for e, ms, _ in later if e == episode) for episode in range(3)] == [
        begin + 100 for begin in begins
    ]


def test_reports_of_a_live_node_say_who_had_the_arm(tmp_path):
    folder = write_bag(tmp_path / 'bag', live(reports([0, 0, 1, 1, 0, 1, 0])))
    whole = walked(folder)
    assert [correction for *_, correction in whole] == [False, False, True, True] + [
        False, True, False
    ]  # fmt: skip
    assert {episode for episode, *_ in whole} == {0}  # a correction is a part of its episode
    assert [step[:2] for step in walked(folder, 'leave-out')] == [
        (0, 0), (0, 200), (1, 800), (2, 1200)
    ]  # fmt: skip
    assert [step[:2] for step in walked(folder, 'only')] == [(0, 400), (0, 600), (1, 1000)]


def test_a_bag_that_does_not_say_who_had_the_arm_is_used_whole_or_refused(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(1))
    assert len(walked(folder)) == 5
    for choice in ('leave-out', 'only'):
        with pytest.raises(ValueError, match='--control-topic, for --corrections'):
            walked(folder, choice)


def test_another_name_is_found_and_what_cannot_be_read_changes_nothing(tmp_path):
    messages = [
        (time, '/left/mode' if topic == CONTROL else topic, message)
        for time, topic, message in corrected(2.0)
    ]
    messages.insert(0, (START, '/left/mode', string('{"control": "nobody"}')))
    notes = Counter()
    folder = write_bag(tmp_path / 'bag', messages)
    assert sum(c for *_, c in walked(folder, control='/left/mode', notes=notes)) == 5
    assert notes['/left/mode: a message that cannot be read'] == 1
    assert not any(correction for *_, correction in walked(folder))


@pytest.mark.parametrize(
    ('text', 'person'),
    [
        ('{"control": "person"}', True),
        ('{"control": "policy"}', False),
        ('{"control": ["person"]}', None),
        ('["control"]', None),
        ('{', None),
        ('[' * 100_000, None),
    ],
)
def test_only_the_nodes_own_words_are_understood(text, person):
    assert read_mode(text) is person
