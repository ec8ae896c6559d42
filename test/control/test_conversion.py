# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Messages become the arrays they show, by either decoder, or an error that names what came."""

import cv2
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from vla_cache_ros.control.sensing import images
from vla_cache_ros.control.sensing import states
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.environments.tabletop.robot import Tabletop


def scene():
    """Return an RGB image [40, 56, 3] whose channels differ everywhere."""
    y, x = np.mgrid[:40, :56]
    return np.stack([x * 4, y * 6, np.full_like(x, 33)], axis=-1).astype(np.uint8)


def message(pixels, encoding, padding=0):
    """Return pixels [H, W(, C)] as an Image whose rows end with padding bytes."""
    rows = pixels.reshape(len(pixels), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    made = Image(height=len(pixels), width=pixels.shape[1], encoding=encoding)
    made.step, made.data = rows.shape[1], rows.tobytes()
    return made


DECODERS = [
    images._with_opencv,
    pytest.param(
        images._with_cv_bridge,
        marks=pytest.mark.skipif(images.CvBridge is None, reason='no cv_bridge here'),
    ),
]


@pytest.mark.parametrize('decode', DECODERS)
@pytest.mark.parametrize('padding', [0, 8])
@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8'])
def test_channels_come_out_in_rgb_order(decode, encoding, padding):
    rgb = scene()
    alpha = np.full((40, 56, 1), 255, np.uint8)
    pixels, expected = {
        'rgb8': (rgb, rgb),
        'bgr8': (rgb[..., ::-1], rgb),
        'rgba8': (np.concatenate([rgb, alpha], -1), rgb),
        'bgra8': (np.concatenate([rgb[..., ::-1], alpha], -1), rgb),
        'mono8': (rgb[..., 1], np.repeat(rgb[..., 1:2], 3, -1)),
    }[encoding]
    decoded = decode(message(pixels, encoding, padding))
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize('decode', DECODERS)
def test_bayer_pattern_comes_out_in_rgb_order(decode):
    mosaic = np.zeros((40, 56), np.uint8)
    mosaic[::2, ::2] = 200  # the red cells of RGGB
    decoded = decode(message(mosaic, 'bayer_rggb8'))
    assert decoded[10:30, 10:40, 0].mean() > 150
    assert decoded[10:30, 10:40, 2].mean() < 20


def test_result_does_not_share_the_messages_buffer():
    source = message(scene(), 'rgb8')
    before = images.to_rgb(source, 'camera')
    for index in range(len(source.data)):
        source.data[index] = 0
    np.testing.assert_array_equal(before, scene())


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_compressed_image_comes_out_in_rgb_order(kind):
    data = cv2.imencode(f'.{kind}', scene()[..., ::-1])[1]
    decoded = images.to_rgb(CompressedImage(format=kind, data=data.tobytes()), 'camera')
    assert np.abs(decoded.astype(int) - scene()).mean() < (3 if kind == 'jpeg' else 1e-9)


@pytest.mark.parametrize(
    ('change', 'line'),
    [
        ({'encoding': '16UC1'}, "expected one of the encodings rgb8, .*, got '16UC1'"),
        ({'width': 0}, 'expected an image of at least 32x32 pixels, got 0x40'),
        ({'width': 60}, 'expected a step of at least 180 bytes .* got 168'),
        ({'height': 41}, r'expected 6888 bytes \(step 168 x height 41\), got 6720'),
        ({'step': 170}, r'expected 6800 bytes \(step 170 x height 40\), got 6720'),
    ],
)
def test_header_that_does_not_fit_its_data_is_an_error(change, line):
    wrong = message(scene(), 'rgb8')
    for name, value in change.items():
        setattr(wrong, name, value)
    with pytest.raises(ValueError, match=f'camera: {line}'):
        images.to_rgb(wrong, 'camera')


def test_black_frame_is_an_error_but_a_dark_one_is_not():
    dark = np.zeros_like(scene())
    dark[5:, 5:] = 4
    with pytest.raises(ValueError, match='camera: expected a picture, got an all-black frame'):
        images.to_rgb(message(dark, 'rgb8'), 'camera')
    dark[0, 0] = 60
    np.testing.assert_array_equal(images.to_rgb(message(dark, 'rgb8'), 'camera'), dark)


@pytest.mark.parametrize('data', [b'', b'no picture'])
def test_compressed_data_that_is_no_picture_is_an_error(data):
    with pytest.raises(ValueError, match=f'got {len(data)} bytes that do not decode'):
        images.to_rgb(CompressedImage(format='jpeg', data=data), 'camera')


def pose_of(xyz, quaternion):
    """Return a PoseStamped."""
    made = PoseStamped()
    point, turn = made.pose.position, made.pose.orientation
    point.x, point.y, point.z = (float(v) for v in xyz)
    turn.x, turn.y, turn.z, turn.w = (float(v) for v in quaternion)
    return made


def test_state_vector_is_the_simulators_own():
    env = Tabletop()
    rng = np.random.default_rng(1)
    env.reset_state(3)
    for _ in range(30):
        env.apply_twist(rng.uniform(-0.2, 0.2, 3), rng.uniform(-1.5, 1.5, 3), 0.0, 0.1)
        positions = env.joint_positions()
        joints = JointState(name=list(positions), position=list(positions.values()))
        found = StateInput(states.StateLayout(('finger_joint1', 'finger_joint2')), PoseSource())
        found.take('joint_states', joints)
        found.take('end_effector_pose', pose_of(*env.end_effector_pose()))
        state = found.newest(0).vector
        assert state.dtype == np.float32
        np.testing.assert_allclose(state, env.proprio(), rtol=0, atol=2e-6)


def test_axis_angle_does_not_jump_where_a_gripper_points_down():
    angles = np.linspace(np.pi - 0.3, np.pi + 0.3, 61)
    vectors = [
        states.position_and_axis_angle(pose_of([0, 0, 0], [np.sin(a / 2), 0, 0, np.cos(a / 2)]))[
            3:
        ]
        for a in angles
    ]
    np.testing.assert_allclose(np.array(vectors)[:, 0], angles, atol=1e-9)


@pytest.mark.parametrize(
    ('xyz', 'quaternion'),
    [([np.nan, 0, 0], [0, 0, 0, 1]), ([0, 0, 0], [0, 0, 0, 0]), ([0, 0, 0], [np.inf, 0, 0, 1])],
)
def test_pose_that_is_none_is_an_error(xyz, quaternion):
    with pytest.raises(ValueError, match='expected a finite position and a unit quaternion'):
        states.position_and_axis_angle(pose_of(xyz, quaternion))
