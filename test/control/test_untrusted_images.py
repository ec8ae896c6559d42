# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that anyone may have sent are refused by their header, before they are unfolded."""

import struct
import zlib

import cv2
from encoded_pictures import jpeg
from encoded_pictures import SMALL
from encoded_pictures import WHOLE
from headroom import headroom
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from vla_cache_ros.control.sensing import images
from vla_cache_ros.control.sensing.compressed import MOST_PIXELS


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png_bomb(width, height):
    """Return a PNG of grey zeros whose every row is there."""
    header = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    rows = b''.join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    parts = chunk(b'IHDR', header), chunk(b'IDAT', rows), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


def of_size(data, width, height):
    """Return a JPEG that says it is of another size."""
    at = next(data.index(mark) for mark in (b'\xff\xc0', b'\xff\xc2') if mark in data)
    return data[: at + 5] + struct.pack('>HH', height, width) + data[at + 9 :]


def decode(data):
    return images.to_rgb(CompressedImage(format='jpeg', data=data), 'camera')


def test_a_picture_of_a_few_kilobytes_that_unfolds_to_gigabytes_is_refused_by_its_header():
    bomb = png_bomb(10_000, 10_000)
    assert len(bomb) < 200_000
    for data, size in (
        (bomb, '10000x10000'),
        (of_size(jpeg(), 9000, 9000), '9000x9000'),
        (of_size(jpeg(progressive=True), 6000, 6000), '6000x6000'),
    ):
        with headroom(100), pytest.raises(ValueError, match=f'at most 33554432.*got {size}'):
            decode(data)
    for side in (20_000, 65_500, 2**31 - 1):  # Pillow refuses it, and OpenCV would
        header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
        data = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'x')
        with headroom(100), pytest.raises(ValueError, match='do not decode .Decompression'):
            decode(data)


def test_a_picture_as_large_as_cameras_make_them_is_decoded():
    assert 7680 * 4320 <= MOST_PIXELS
    assert decode(jpeg(np.full((2160, 3840, 3), 90, np.uint8))).shape == (2160, 3840, 3)


def test_a_jpeg_of_very_many_scans_is_refused_and_a_progressive_one_is_not():
    data = jpeg(progressive=True)
    assert decode(data).shape == SMALL.shape
    begin, end = data.rindex(b'\xff\xda'), data.rindex(b'\xff\xd9')
    with pytest.raises(ValueError, match='at most 32 scans, got'):
        decode(data[:end] + data[begin:end] * 1000 + data[end:])


def test_a_png_whose_chunk_says_it_has_gigabytes_is_refused():
    """Found by the fuzzer: OpenCV takes the memory before it finds that there are no bytes."""
    whole = WHOLE[2]
    assert decode(whole).shape == SMALL.shape
    at = whole.index(b'IDAT') - 4
    for length in (len(whole), 10**8, 2**31, 2**32 - 1):
        with headroom(100), pytest.raises(ValueError, match='expected a whole PNG'):
            decode(whole[:at] + struct.pack('>I', length) + whole[at + 4 :])
    animated = whole[:at] + chunk(b'acTL', struct.pack('>II', 10**6, 0)) + whole[at:]
    with pytest.raises(ValueError, match='of one picture'):
        decode(animated)


def test_another_format_than_jpeg_and_png_is_refused_whatever_could_decode_it():
    for suffix in ('.bmp', '.webp', '.tiff', '.ppm'):
        with pytest.raises(ValueError, match='expected JPEG or PNG data'):
            decode(cv2.imencode(suffix, SMALL)[1].tobytes())


def test_a_raw_image_takes_no_memory_that_its_data_do_not_have():
    for height, width, step in (
        (2**32 - 1, 2**32 - 1, 2**32 - 1),
        (2**31, 64, 192),
        (64, 2**31, 2**32 - 1),
        (32, 64, 2**32 - 1),
    ):
        message = Image(encoding='rgb8', height=height, width=width, step=step, data=bytes(12288))
        with headroom(100), pytest.raises(ValueError, match='camera: expected .* got'):
            images.to_rgb(message, 'camera')


@st.composite
def damaged(draw):
    """Draw the bytes of a small picture with some of them changed, cut out or repeated."""
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1))
        if draw(st.booleans()):
            data[at] = draw(st.integers(0, 255))
        else:
            to = min(len(data), at + draw(st.integers(1, 40)))
            data[at:to] = data[at:to] * draw(st.sampled_from([0, 2])) or b'\0'
    return bytes(data)


@given(damaged())
@settings(max_examples=150, deadline=5000)
def test_a_damaged_picture_is_decoded_or_named(data):
    try:
        with headroom(400):
            rgb = decode(data)
    except ValueError as error:
        assert str(error).startswith('camera: expected') and '\n' not in str(error)
    else:
        assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3
        assert rgb.shape[0] * rgb.shape[1] <= MOST_PIXELS
