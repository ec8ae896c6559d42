# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What vla-eval's LIBERO sends becomes what our own environment shows, and back; no vla-eval."""

from dataclasses import replace

import numpy as np
import pytest
from vla_cache_ros.environments.libero import command
from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.policy import Policy
from vla_cache_ros.serving.vla_eval.conventions import CONVENTIONS
from vla_cache_ros.serving.vla_eval.conventions import find
from vla_cache_ros.serving.vla_eval.conventions import Needs
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.files.errors import InputError

TEXT = 'pick up the milk and place it in the basket'
RNG = np.random.default_rng(0)
ONE, TWO, BARE = Needs(1, 8, True), Needs(2, 8, True), Needs(1, 0, False)
LIBERO, PLAIN = CONVENTIONS['libero'], CONVENTIONS['plain']


def picture(seed=0):
    """Return what a camera gives, smooth enough that JPEG leaves something of it."""
    rows, columns = np.mgrid[:256, :256] / 255.0
    channels = [rows, columns, 0.5 + 0.5 * np.sin(9 * rows + seed)]
    return (255 * np.stack(channels, 2)).astype(np.uint8)


def sent(seed=0, **changes):
    """Return an observation as vla-eval's LIBERO lays it out, of pictures that it has turned."""
    turned = np.ascontiguousarray(picture(seed)[::-1, ::-1])
    state = np.array([0.1, -0.2, 0.9, 3.1, 0.1, -0.1, 0.03, -0.03])
    full = {'images': {'agentview': turned}, 'task_description': TEXT, 'states': state}
    return {**full, **changes}


def test_actions_on_the_same_frames_equal_those_of_our_own_path():
    policy = Policy.from_pretrained('libero-object', gate='learned', reuse=0.7)
    needs = Needs.of(policy)
    own, theirs, reused = [], [], []
    for seed in range(3):
        chunk, report = policy.act(Observation((picture(seed),), TEXT, sent()['states']))
        own.append(np.stack([command(action) for action in chunk.actions]))
        reused.append(report.reuse)
    policy.reset()
    for seed in range(3):
        chunk, _ = policy.act(LIBERO.observation(sent(seed), needs))
        theirs.append(LIBERO.actions(chunk.actions))
    assert needs == Needs(1, 8, True) and max(reused) > 0.1
    np.testing.assert_array_equal(np.array(own).astype(np.float32), theirs)


def test_a_checkpoint_that_states_no_image_path_sees_what_our_environment_shows():
    seen = LIBERO.observation(sent(), replace(ONE, raw=False))
    np.testing.assert_array_equal(seen.images[0], IMAGE_PATH(picture()))
    raw = LIBERO.observation(sent(), ONE)
    np.testing.assert_array_equal(raw.images[0], picture())


def test_the_gripper_turns_round_and_the_rest_is_left_alone():
    chunk = np.array([[0.5, -0.25, 1.0, 0, 0, 0.125, 1.0], [0, 0, 0, 0, 0, 0, 0.2]])
    made = LIBERO.actions(chunk)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[:, :6], chunk[:, :6])
    np.testing.assert_array_equal(made[:, 6], [-1.0, 1.0])  # open, closed
    np.testing.assert_array_equal(PLAIN.actions(chunk), chunk.astype(np.float32))


def test_a_camera_or_state_that_the_benchmark_sends_unasked_is_left_out():
    extra = sent(controller_states=np.zeros(8))
    extra['images']['wrist'] = picture(1)
    seen = LIBERO.observation(extra, BARE)
    assert len(seen.images) == 1 and seen.proprio is None
    both = LIBERO.observation(extra, TWO)
    np.testing.assert_array_equal(both.images[1], picture(1)[::-1, ::-1])


def test_the_benchmark_is_asked_for_what_the_model_takes():
    assert LIBERO.asked(BARE) == {'env_seed': 0}
    assert LIBERO.asked(TWO) == {
        'env_seed': 0,
        'send_wrist_image': True,
        'send_state': True,
        'quat_no_antipodal': True,
    }
    assert PLAIN.asked(TWO) == {}


def test_the_plain_convention_takes_any_names_in_their_order():
    images = {'front': picture(0), 'left': picture(1)}
    seen = PLAIN.observation({'images': images, 'task_description': TEXT, 'state': [0.5] * 8}, TWO)
    np.testing.assert_array_equal(seen.images[1], picture(1))
    np.testing.assert_array_equal(seen.proprio, [0.5] * 8)
    with pytest.raises(InputError, match='expected 2, primary camera first, got front$'):
        PLAIN.check({'images': {'front': picture()}, 'task_description': TEXT}, TWO)


@pytest.mark.parametrize(
    ('observation', 'message'),
    [
        (7, 'observation: expected a map, got int'),
        (sent(depth=1), 'observation: expected keys among .*, got also depth; another benchmark'),
        (sent(images=None), 'images: expected a map, got NoneType'),
        (sent(images={}), 'images: expected agentview, got none'),
        (sent(images={'front': picture()}), 'images: expected agentview, got front'),
        (
            sent(images={'agentview': picture().astype(float)}),
            r'agentview: expected uint8 \[H, W, 3\], got float64 \[256, 256, 3\]',
        ),
        (sent(images={'agentview': picture()[0]}), r'got uint8 \[256, 3\]'),
        (sent(images={'agentview': 'a path'}), r'agentview: expected uint8 \[H, W, 3\], got str'),
        (sent(task_description=None), 'task_description: expected a text, got NoneType'),
        (sent(states=None), 'state: expected 8 numbers under states or state, got none'),
        (sent(states=np.zeros(7)), r'state: expected 8 numbers, got float64 \[7\]'),
        (sent(states=['a'] * 8), 'state: expected 8 numbers, got <U1'),
    ],
)
def test_what_does_not_fit_is_answered_in_one_line(observation, message):
    with pytest.raises(InputError, match=message) as caught:
        LIBERO.check(observation, ONE)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 240


def test_an_unknown_benchmark_and_a_model_of_three_cameras_are_refused():
    with pytest.raises(ValueError, match="expected one of libero, plain, got 'calvin'"):
        find('calvin', ONE)
    with pytest.raises(ValueError, match='at most 2 cameras for libero, got 3'):
        find('libero', Needs(3, 8, True))
    assert find('plain', Needs(3, 8, True)) is PLAIN
