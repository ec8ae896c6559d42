# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames are found through chains, static or moving, with tf2's rules; what cannot be is told."""

from types import SimpleNamespace

from geometry_msgs.msg import TransformStamped
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.transforms import HORIZON
from vla_cache_ros.control.sensing.transforms import NoTransform
from vla_cache_ros.control.sensing.transforms import TransformBuffer

MS = 1_000_000
NOW = 1_700_000_000 * 10**9
TURN = (0.0, 0.0, 0.0, 1.0)


def link(parent, child, ms=0, xyz=(0.0, 0.0, 0.0), turn=TURN):
    """Return a TransformStamped, stamped ms after NOW."""
    made = TransformStamped(child_frame_id=child)
    made.header.frame_id = parent
    made.header.stamp.sec, made.header.stamp.nanosec = divmod(NOW + round(ms * MS), 10**9)
    move, rotation = made.transform.translation, made.transform.rotation
    move.x, move.y, move.z = (float(value) for value in xyz)
    rotation.x, rotation.y, rotation.z, rotation.w = (float(value) for value in turn)
    return made


def tf(*links):
    """Return a message with transforms."""
    return SimpleNamespace(transforms=links)


def buffer(*links, static=()):
    """Return a buffer that was given links."""
    made = TransformBuffer()
    for one in static:
        made.take(tf(one), static=True)
    for one in links:
        made.take(tf(one), static=False)
    return made


def matrix(xyz, turn):
    """Return a transform as [4, 4]."""
    x, y, z, w = turn
    made = np.eye(4)
    made[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    made[:3, 3] = xyz
    return made


QUATERNIONS = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1)
TRANSFORMS = st.tuples(
    st.tuples(*[st.floats(-2, 2)] * 3),
    QUATERNIONS.map(lambda q: tuple(np.array(q) / np.linalg.norm(q))),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(TRANSFORMS, st.booleans()), min_size=1, max_size=6),
    st.lists(TRANSFORMS, max_size=3),
)
def test_a_chain_is_the_product_of_its_links_and_a_branch_goes_up_first(down, up):
    buffer, expected, above = TransformBuffer(), np.eye(4), np.eye(4)
    for index, (transform, static) in enumerate(down):
        parent = f'd{index - 1}' if index else 'root'
        buffer.take(tf(link(parent, f'd{index}', 0, *transform)), static)
        expected = expected @ matrix(*transform)
    for index, transform in enumerate(up):
        parent = f'u{index - 1}' if index else 'root'
        buffer.take(tf(link(parent, f'u{index}', 0, *transform)), static=False)
        above = above @ matrix(*transform)
    base, tip = f'u{len(up) - 1}' if up else 'root', f'd{len(down) - 1}'
    found = matrix(*buffer.at(base, tip, NOW))
    np.testing.assert_allclose(found, np.linalg.inv(above) @ expected, atol=1e-9)


def test_the_pose_is_of_the_newest_time_at_which_all_links_are_known():
    half = (0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4))  # a quarter turn about z
    found = buffer(
        link('base', 'arm', 0, (1.0, 0.0, 0.0)),
        link('base', 'arm', 100, (2.0, 0.0, 0.0), half),
        link('arm', 'tool', 20, (0.0, 0.0, 1.0)),
        link('arm', 'tool', 50, (0.0, 0.0, 3.0)),
        static=[link('tool', 'tip', xyz=(0.5, 0.0, 0.0))],
    )
    assert found.newest('base', 'tip') == NOW + 50 * MS
    xyz, turn = found.at('base', 'tip', NOW + 50 * MS)
    assert xyz == pytest.approx([1.5 + 0.5 * np.cos(np.pi / 4), 0.5 * np.sin(np.pi / 4), 3.0])
    assert turn == pytest.approx([0.0, 0.0, np.sin(np.pi / 8), np.cos(np.pi / 8)])


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(8)))
def test_the_order_of_messages_does_not_matter(order):
    links = [link('base', 'tip', 10 * k, (k, 0, 0)) for k in order]
    found = buffer(*links)
    assert found.newest('base', 'tip') == NOW + 70 * MS
    assert found.at('base', 'tip', NOW + 35 * MS)[0] == pytest.approx((3.5, 0, 0))


def test_a_leading_slash_is_no_other_frame():
    found = buffer(link('/base', '/tip', 0, (1, 2, 3)))
    assert found.at('base', '/tip', NOW)[0] == (1, 2, 3)


def test_frames_that_are_not_connected_are_told_with_those_there_are():
    with pytest.raises(NoTransform, match='chain from base to tip, got the frames none'):
        buffer().newest('base', 'tip')
    with pytest.raises(NoTransform, match='from base to tip, got the frames arm, base, hand, tip'):
        buffer(link('base', 'arm'), link('hand', 'tip')).newest('base', 'tip')


def test_a_loop_is_told():
    with pytest.raises(ValueError, match='expected a tree, got the loop a, b, tip, a'):
        found = buffer(link('a', 'tip'), link('b', 'a'), link('tip', 'b'))
        found.newest('a', 'tip')
    with pytest.raises(ValueError, match='the loop tip, tip'):
        buffer(link('tip', 'tip')).newest('base', 'tip')


def test_a_loop_elsewhere_does_not_matter():
    found = buffer(link('base', 'tip'), link('a', 'b'), link('b', 'a'))
    assert found.newest('base', 'tip') == NOW


@pytest.mark.parametrize(
    ('xyz', 'turn'),
    [((np.nan, 0, 0), TURN), ((0, np.inf, 0), TURN), ((0, 0, 0), (0, 0, 0, 0)),
     ((0, 0, 0), (np.nan, 0, 0, 1)), ((0, 0, 0), (0, 0, 0, 1.1))],
)  # fmt: skip
def test_only_links_of_the_chain_have_to_be_rotations(xyz, turn):
    found = buffer(link('base', 'tip'), link('base', 'wheel', 0, xyz, turn))
    assert found.at('base', 'tip', NOW)[1] == TURN
    with pytest.raises(ValueError, match='expected finite translations and unit quaternions'):
        found.at('base', 'wheel', NOW)


def test_a_tip_that_cannot_move_is_refused():
    with pytest.raises(ValueError, match='expected a tip that moves, got tip fixed in base'):
        buffer(static=[link('base', 'tip')]).newest('base', 'tip')


def test_links_that_share_no_time_are_told():
    found = buffer(link('base', 'arm', 0), link('arm', 'tip', 500), link('arm', 'tip', 600))
    with pytest.raises(NoTransform, match='expected all links at one time'):
        found.at('base', 'tip', found.newest('base', 'tip'))


def test_what_is_kept_is_bounded_and_a_clock_set_back_begins_anew():
    found = TransformBuffer()
    for k in range(2000):
        found.take(tf(link('base', 'tip', 10 * k)), static=False)
    assert len(found._links['tip'].stamps) < HORIZON / MS / 10 + 100
    found.take(tf(link('base', 'tip', 0, (7, 0, 0))), static=False)
    assert found.newest('base', 'tip') == NOW
    with pytest.raises(ValueError, match='at most 4096 frames'):
        found.take(tf(*(link('base', f'f{k}') for k in range(5000))), static=False)


def test_a_chain_too_long_is_refused():
    found = buffer(*(link(f'f{k}', f'f{k + 1}') for k in range(1500)))
    with pytest.raises(ValueError, match='at most 1000'):
        found.newest('f0', 'f1500')


def test_clearing_keeps_what_is_static():
    found = buffer(link('base', 'arm'), static=[link('arm', 'tip')])
    found.clear()
    found.take(tf(link('base', 'arm', 5)), static=False)
    assert found.newest('base', 'tip') == NOW + 5 * MS


def state():
    """Return a state input that looks tip up in base."""
    return StateInput(None, PoseSource('base', 'tip', TransformBuffer()))


def causes(state, ms):
    """Return what forbids the pose ms after NOW, by cause."""
    return {cause: text for (cause, _), text in state.problems(NOW + ms * MS, 0.1).items()}


def test_the_pose_is_missed_and_ages_by_its_oldest_moving_link():
    inputs = state()
    assert inputs.topics == ('tf', 'tf_static')
    assert 'waiting for state tf (tip in base)' in causes(inputs, 0)['no_state']
    assert not inputs.take('tf', tf(link('base', 'arm', 0)))
    assert 'got the frames arm, base' in causes(inputs, 0)['no_state']
    assert inputs.take('tf', tf(link('arm', 'tip', 0, (1, 0, 0))))
    assert not inputs.take('tf', tf(link('arm', 'tip', 50, (2, 0, 0)))), 'nothing new by then'
    assert causes(inputs, 50) == {}
    assert inputs.pose()[:3].tolist() == [1, 0, 0]
    assert 'tf (tip in base)' in causes(inputs, 150)['stale_state']
    assert inputs.newest(NOW).stamps == [NOW] and inputs.newest(NOW + 1) is None


def test_a_link_that_is_no_rotation_is_bad_until_a_good_one():
    inputs = state()
    inputs.take('tf', tf(link('base', 'tip', 0)))
    inputs.take('tf', tf(link('base', 'tip', 10, turn=(0, 0, 0, 0))))
    assert list(causes(inputs, 10)) == ['bad_state']
    inputs.take('tf', tf(link('base', 'tip', 20)))
    assert causes(inputs, 20) == {}


NUMBERS = st.one_of(st.floats(-2, 2), st.floats(width=64))
LINKS = st.builds(
    link,
    st.sampled_from(['base', 'a', 'b', '', '/tip']),
    st.sampled_from(['a', 'b', 'tip', 'base']),
    st.integers(-3000, 3000),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.one_of(st.just(TURN), st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(LINKS, st.booleans()), max_size=12))
def test_any_tree_gives_a_finite_pose_or_a_line(links):
    inputs = state()
    for one, static in links:
        used = inputs.take('tf_static' if static else 'tf', tf(one))
        found = causes(inputs, 0)
        assert all(text.isprintable() for text in found.values())
        if used and 'bad_state' not in found:
            assert np.isfinite(inputs.pose()).all()
