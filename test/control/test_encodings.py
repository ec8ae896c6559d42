# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Raw and compressed encodings become the colours they stand for, by the standards' formulas."""

import cv2
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from vla_cache_ros.control.sensing import images
from vla_cache_ros.control.sensing.colour import ColourWatch
from vla_cache_ros.control.sensing.colour import NO_COLOUR
from vla_cache_ros.control.sensing.compressed import MOSAICS

SIDES = st.integers(16, 30).map(lambda n: 2 * n)
# Red, green and blue cells of two by two pixels, row by row, as the name says.
PATTERNS = {name: ['rgb'.index(cell) for cell in name[6:10]] for name in MOSAICS}


def bt601(y, u, v):
    """Return RGB of video levels (ITU-R BT.601), uint8 [H, W, 3]; all [H, W]."""
    y, u, v = 1.164383 * (y - 16.0), u - 128.0, v - 128.0
    rgb = [y + 1.596027 * v, y - 0.391762 * u - 0.812968 * v, y + 2.017232 * u]
    return np.clip(np.rint(np.stack(rgb, -1)), 0, 255).astype(np.uint8)


def levels(seed, *shape):
    """Return random levels of video, Y or chroma."""
    return np.random.default_rng(seed).integers(40, 220, shape, np.uint8)


def message(rows, width, height, encoding, step=None):
    """Return an Image of data [rows, bytes]."""
    made = Image(height=height, width=width, encoding=encoding)
    made.step, made.data = step or rows.shape[1], rows.tobytes()
    return made


def close(found, expected):
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('yuyv', 'yuyv'), ('yuv422_yuy2', 'yuyv'), ('uyvy', 'uyvy'), ('yuv422', 'uyvy')],
)
@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from([0, 6]), st.integers(0, 99))
def test_two_pixels_that_share_a_colour(encoding, order, height, width, padding, seed):
    y, u, v = (levels(seed + i, height, width if i == 0 else width // 2) for i in range(3))
    pairs = {'y': iter((y[:, ::2], y[:, 1::2])), 'u': iter([u]), 'v': iter([v])}
    packed = np.stack([next(pairs[part]) for part in order], -1).reshape(height, -1)
    rows = np.pad(packed, ((0, 0), (0, padding)))
    rgb = images.to_rgb(message(rows, width, height, encoding), 'camera')
    close(rgb, bt601(y, *(np.repeat(part, 2, 1) for part in (u, v))))


@pytest.mark.parametrize(('encoding', 'order'), [('nv12', (0, 1)), ('nv21', (1, 0))])
@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from(['row', 'padded', 'pixel', 'channels']), st.integers(0, 99))
def test_four_pixels_that_share_a_colour_whatever_the_step_is_of(
    encoding, order, height, width, step, seed
):
    y = levels(seed, height, width)
    chroma = levels(seed + 1, height // 2, width // 2, 2)
    rows = np.concatenate([y, chroma[..., list(order)].reshape(height // 2, width)])
    if step == 'padded':
        rows = np.pad(rows, ((0, 0), (0, 10)))
    said = {'pixel': width * 3 // 2, 'channels': 2 * width}.get(step)
    rgb = images.to_rgb(message(rows, width, height, encoding, said), 'camera')
    close(rgb, bt601(y, *(chroma[..., i].repeat(2, 0).repeat(2, 1) for i in (0, 1))))


def test_a_frame_of_two_planes_that_lacks_one_is_refused():
    y = levels(0, 48, 64)
    with pytest.raises(ValueError, match=r'expected 4608 bytes \(step 64 x height 72\), got 3072'):
        images.to_rgb(message(y, 64, 48, 'nv12'), 'camera')
    with pytest.raises(ValueError, match='expected an even height for nv21'):
        images.to_rgb(message(y, 64, 33, 'nv21'), 'camera')
    with pytest.raises(ValueError, match='expected an even width for yuyv'):
        images.to_rgb(message(y, 33, 48, 'yuyv'), 'camera')


def mosaic(rgb, encoding):
    """Return what a sensor with such a pattern of colours sees, [H, W]."""
    seen = np.empty(rgb.shape[:2], np.uint8)
    for cell, channel in enumerate(PATTERNS[encoding]):
        place = slice(cell // 2, None, 2), slice(cell % 2, None, 2)
        seen[place] = rgb[place][..., channel]
    return seen


def slope():
    """Return a picture [64, 80, 3] whose colours change evenly, so that a mosaic loses nothing."""
    y, x = np.mgrid[:64, :80]
    return np.stack([x * 2 + 30, y * 2 + 60, 200 - x], -1).astype(np.uint8)


@pytest.mark.parametrize('encoding', PATTERNS)
def test_a_mosaic_is_made_to_colours_raw_and_compressed(encoding):
    rgb, inner = slope(), (slice(2, -2), slice(2, -2))
    seen = mosaic(rgb, encoding)
    found = [images.to_rgb(message(seen, 80, 64, encoding), 'camera')]
    jpeg, png = (cv2.imencode(f'.{kind}', seen)[1].tobytes() for kind in ('jpg', 'png'))
    for text, data in (
        (f'{encoding}; jpeg compressed {encoding}', jpeg),
        (f'{encoding}; png compressed {encoding}', png),
        (f'{encoding}; png compressed ', png),
    ):
        found.append(images.to_rgb(CompressedImage(format=text, data=data), 'camera'))
    for one in found:
        off = np.abs(one[inner].astype(int) - rgb[inner])
        assert off.mean() < 4  # JPEG blurs what alternates
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[0], found[3])


@pytest.mark.parametrize(
    'text',
    ['jpeg', 'png', 'rgb8; png compressed bgr8', 'bgr8; jpeg compressed bgr8', '',
     'bayer_rggb8; jpeg compressed bgr8', 'mono8; jpeg compressed ', '8UC3; jpeg compressed bgr8'],
)  # fmt: skip
def test_an_ordinary_picture_is_what_its_file_says(text):
    data = cv2.imencode('.png', slope()[..., ::-1])[1].tobytes()
    found = images.to_rgb(CompressedImage(format=text, data=data), 'camera')
    np.testing.assert_array_equal(found, slope())


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        (
            '16UC1; compressedDepth png',
            "expected pictures of a colour camera, got depth \\('16UC1",
        ),
        ('32FC1; compressedDepth', 'expected pictures of a colour camera, got depth'),
        ('16UC1; png compressed ', 'expected pictures of a colour camera, got depth'),
        ('bayer_rggb16; png compressed bayer_rggb16', 'expected a mosaic among bayer_rggb8, .*16'),
    ],
)
def test_depth_and_deep_mosaics_are_refused_by_name(text, line):
    data = cv2.imencode('.png', slope()[..., 0])[1].tobytes()
    with pytest.raises(ValueError, match=f'camera: {line}'):
        images.to_rgb(CompressedImage(format=text, data=data), 'camera')


@pytest.mark.parametrize(('order', 'flip'), [('rgb8', 1), ('bgr8', -1)])
def test_three_channels_of_no_order_are_refused_until_it_is_named(order, flip):
    image = message(slope()[..., ::flip].reshape(64, -1), 80, 64, '8UC3')
    images.name_order(image, '')
    with pytest.raises(ValueError, match="got '8UC3'; set encoding_8uc3 to bgr8 or rgb8"):
        images.check_image(image, 'camera')
    images.name_order(image, order)
    np.testing.assert_array_equal(images.to_rgb(image, 'camera'), slope())


@pytest.mark.parametrize(
    'gray',
    [
        message(slope()[..., 0], 80, 64, 'mono8'),
        message(np.repeat(slope()[..., :1], 3, -1).reshape(64, -1), 80, 64, 'rgb8'),
        message(np.stack([slope()[..., 0], np.full((64, 80), 128, np.uint8)], -1).reshape(64, -1),
                80, 64, 'yuyv'),
        CompressedImage(format='yuv422_yuy2; jpeg compressed mono8',
                        data=cv2.imencode('.jpg', slope()[..., 0])[1].tobytes()),
        CompressedImage(format='rgb8; jpeg compressed bgr8',
                        data=cv2.imencode('.jpg', slope()[..., :1].repeat(3, -1))[1].tobytes()),
    ],
)  # fmt: skip
def test_a_camera_without_colour_is_said_once_and_forgotten_with_the_first_colour(gray):
    watch, topics = ColourWatch(), ('front', 'wrist')
    pair = (images.to_rgb(gray, 'front'), slope())
    lines = [watch.take(topics, pair) for _ in range(5)]
    assert [len(found) for found in lines] == [0, 0, 1, 0, 0]
    assert lines[2][0].startswith(f'front: {NO_COLOUR}') and watch.gray == ['front']
    dot = pair[0].copy()
    dot[13, 7] = (90, 91, 90)  # between the pixels that are looked at first
    assert watch.take(topics, (dot, slope())) == [] and watch.gray == []
    assert [watch.take(topics, pair) for _ in range(3)] == [[], [], []]  # said before
    assert watch.gray == ['front']
