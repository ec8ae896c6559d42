# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with its inputs, vla_node stops the arm, says why and goes on after it."""

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import numpy as np
import pytest
from ros_graph import CAMERAS
from ros_graph import picture
from vla_cache_ros.vla.files.errors import InputError


def test_without_images_the_arm_stands_still_and_the_topic_is_named(graph):
    graph.outside.pictures = dict.fromkeys(CAMERAS)
    assert graph.transition('configure')
    assert graph.transition('activate')
    graph.outside.instruct('go')
    assert graph.wait(lambda: graph.logged('waiting for image wrist/image_raw'))
    assert graph.wait(graph.outside.still)


def test_one_silent_camera_stops_the_arm_until_it_is_back(graph):
    graph.healthy_start()
    assert graph.set_parameter('image_timeout', 0.5).successful
    spoiled = graph.outside.pictures['wrist/image_raw']
    graph.outside.pictures['wrist/image_raw'] = None
    assert graph.wait(lambda: graph.logged('wrist/image_raw: expected a message every 0.5 s'))
    assert graph.wait(graph.outside.still)
    graph.outside.pictures['wrist/image_raw'] = spoiled
    assert graph.wait(graph.outside.moving)


SPOILED_PICTURES = {
    'encoding': (picture(encoding='32FC1'), "got '32FC1'"),
    'size': (picture(width=8, height=8), 'got 8x8'),
    'step': (picture(), 'expected a step of at least 192 bytes'),
    'length': (picture(), 'expected 9216 bytes'),
    'black': (picture(value=3), 'all-black frame'),
}
SPOILED_PICTURES['step'][0].step = 100
SPOILED_PICTURES['length'][0].height = 48
SPOILED_PICTURES['length'][0].data = SPOILED_PICTURES['length'][0].data[:-5]


@pytest.mark.parametrize('name', SPOILED_PICTURES)
def test_unusable_picture_stops_the_arm_until_a_good_one_comes(graph, name):
    graph.healthy_start()
    message, line = SPOILED_PICTURES[name]
    graph.outside.pictures['image_raw'] = message
    assert graph.wait(lambda: graph.logged(line))
    assert graph.wait(lambda: graph.logged('image_raw: expected'))
    assert graph.wait(graph.outside.still)
    graph.outside.pictures['image_raw'] = picture()
    assert graph.wait(graph.outside.moving)


@pytest.mark.parametrize('text', ['', ' \t ', 'x' * 10_000], ids=['empty', 'blank', '10 kB'])
def test_bad_instruction_stops_the_arm_until_a_good_one_comes(graph, policy, text):
    graph.healthy_start()
    graph.outside.instruct(text)
    length = len(text.strip())
    assert graph.wait(lambda: graph.logged(f'expected 1 to 1000 characters, got {length}'))
    assert graph.wait(graph.outside.still)
    assert all(0 < len(seen.instruction) <= 1000 for seen in policy.observations)
    graph.outside.instruct('now properly')
    assert graph.wait(graph.outside.moving)


def test_an_instruction_the_model_cannot_take_stops_the_arm_as_it_comes(graph, policy):
    graph.healthy_start()
    policy.refusal = InputError('instruction: expected a prompt of 1 to 9 tokens, found 10')
    graph.outside.instruct('a long one')
    assert graph.wait(lambda: graph.logged('1 to 9 tokens, found 10'))
    assert graph.wait(graph.outside.still)
    assert all(seen.instruction != 'a long one' for seen in policy.observations)
    policy.refusal = None
    graph.outside.instruct('a short one')
    assert graph.wait(graph.outside.moving)


@pytest.mark.parametrize(
    ('names', 'fingers', 'line'),
    [
        (
            ['finger_joint1', 'finger_joint2'],
            [0.04, float('nan')],
            'expected a finite position for finger_joint2, got nan',
        ),
        (['elbow'], [0.1], 'joint_states (finger_joint1): expected a message every'),
    ],
    ids=['NaN', 'missing'],
)
def test_bad_joint_state_stops_the_arm_until_a_good_one_comes(graph, names, fingers, line):
    graph.healthy_start()
    good = graph.outside.names, graph.outside.fingers
    graph.outside.names, graph.outside.fingers = names, fingers
    assert graph.wait(lambda: graph.logged(line))
    assert graph.wait(graph.outside.still)
    graph.outside.names, graph.outside.fingers = good
    assert graph.wait(graph.outside.moving)


def test_stamps_from_the_future_are_named(graph):
    graph.outside.stamp_offset = 30.0
    assert graph.transition('configure')
    assert graph.transition('activate')
    graph.outside.instruct('go')
    assert graph.wait(lambda: graph.logged('synchronise the clocks'))
    assert not graph.outside.moving()


def test_action_that_is_not_finite_is_never_sent(graph, policy):
    graph.healthy_start()
    policy.action = np.array([0.01, np.nan, 0, 0, 0, 0, 1.0])
    assert graph.wait(lambda: graph.logged('expected finite actions, got nan'))
    assert graph.wait(graph.outside.still)
    assert all(np.isfinite(twist[1]).all() for twist in graph.outside.twists)
    policy.action = np.full(7, 0.01)
    assert graph.wait(graph.outside.moving)


def test_transition_that_the_state_does_not_know_is_refused_and_the_arm_moves_on(graph):
    graph.healthy_start()
    for impossible in ('activate', 'configure', 'cleanup'):
        assert not graph.transition(impossible)
    named = ChangeState.Request(transition=Transition(label='activate'))
    assert not graph.call(ChangeState, 'vla_node/change_state', named).success
    assert graph.wait(lambda: graph.logged('transition that begins at active, got activate'))
    assert graph.logged('expected a transition that begins at active, got 3;')
    assert graph.state() == 'active'
    assert graph.wait(graph.outside.moving)


def test_what_was_due_when_the_node_was_cleaned_up_does_not_end_it(graph):
    graph.healthy_start()
    listening = graph.node._listening
    late = [subscription.callback for subscription in listening._made]
    assert graph.transition('deactivate') and graph.transition('cleanup')
    graph.node._on_tick()
    for callback in late:
        callback(None)
    assert graph.transition('configure')
