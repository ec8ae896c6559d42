# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn ROS image messages into RGB arrays.

Pixels are decoded by cv_bridge where a ROS install offers it, else by OpenCV. Works on any object
with the fields of the message, so messages read from a bag are as good as live ones. It does not
know when a message is too old, nor what is done with the arrays.
"""

import contextlib
import io

import cv2
import numpy as np
from PIL import Image

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None

# Bytes per pixel of the encodings that can become RGB, and how OpenCV converts them. OpenCV names
# a Bayer pattern by its second row, ROS by its first.
ENCODINGS = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
}
FORMATS = ('JPEG', 'PNG')  # of compressed pictures
MIN_SIDE = 32  # pixels; anything smaller is a camera that has not started, not a picture
MOST_PIXELS = 2**25  # 8K; a compressed picture of some kB can unfold to gigabytes
MOST_SCANS = 32  # of a JPEG, which is gone through once for each; progressive ones have ten
BLACK = 10  # of 255; a covered or dead camera shows noise below this


def check_image(message: object, topic: str) -> None:
    """
    Raise ValueError unless a sensor_msgs/Image header describes its data and there is light.

    Cheap enough to be called on every frame. A frame of an encoding with alpha or chroma, which
    are bright in the dark, is judged by `to_rgb` alone.
    """
    if message.encoding not in ENCODINGS:
        raise ValueError(
            f'{topic}: expected one of the encodings {", ".join(ENCODINGS)}, '
            f'got {message.encoding!r}'
        )
    if min(message.height, message.width) < MIN_SIDE:
        raise ValueError(
            f'{topic}: expected an image of at least {MIN_SIDE}x{MIN_SIDE} pixels, '
            f'got {message.width}x{message.height}'
        )
    if message.encoding.startswith('yuv') and message.width % 2:
        raise ValueError(
            f'{topic}: expected an even width for {message.encoding}, where two pixels share '
            f'their colour, got {message.width}'
        )
    row = message.width * ENCODINGS[message.encoding][0]
    if message.step < row:
        raise ValueError(
            f'{topic}: expected a step of at least {row} bytes for {message.width} pixels '
            f'of {message.encoding}, got {message.step}'
        )
    if len(message.data) != message.step * message.height:
        raise ValueError(
            f'{topic}: expected {message.step * message.height} bytes '
            f'(step {message.step} x height {message.height}), got {len(message.data)}'
        )
    if not message.encoding.startswith(('rgba', 'bgra', 'yuv')):
        _check_light(np.frombuffer(message.data, np.uint8), topic)


def to_rgb(message: object, topic: str) -> np.ndarray:
    """
    Return a sensor_msgs/Image or CompressedImage as RGB uint8 [H, W, 3].

    Raises ValueError, in one line that names the topic, for an encoding that cannot become RGB,
    for sizes that do not fit together, for compressed data that is no picture, and for a frame
    without any pixel brighter than BLACK.
    """
    if hasattr(message, 'format'):
        rgb = _decode_compressed(message, topic)
    else:
        check_image(message, topic)
        rgb = _with_cv_bridge(message) if CvBridge else _with_opencv(message)
    _check_light(rgb, topic)
    return rgb


def _check_light(pixels: np.ndarray, topic: str) -> None:
    if pixels.max() <= BLACK:
        raise ValueError(
            f'{topic}: expected a picture, got an all-black frame '
            f'(no pixel above {BLACK} of 255); check lens cap, exposure and light'
        )


def _with_cv_bridge(message: object) -> np.ndarray:
    return np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'))


def _with_opencv(message: object) -> np.ndarray:
    size, conversion = ENCODINGS[message.encoding]
    # [H, step] -> [H, W, size], without the padding at the end of a row
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : message.width * size].reshape(message.height, message.width, size)
    if conversion is None:  # a copy: the message's buffer belongs to the middleware
        return pixels.copy()
    return cv2.cvtColor(pixels, conversion)


def _decode_compressed(message: object, topic: str) -> np.ndarray:
    data = bytes(message.data)
    width, height = _compressed_size(data, topic)
    if min(width, height) < MIN_SIDE or width * height > MOST_PIXELS:
        raise ValueError(
            f'{topic}: expected an image of at least {MIN_SIDE}x{MIN_SIDE} and at most '
            f'{MOST_PIXELS} pixels, got {width}x{height}'
        )
    bgr = None
    with contextlib.suppress(cv2.error):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(
            f'{topic}: expected JPEG or PNG data, got {len(data)} bytes that do not decode'
        )
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _compressed_size(data: bytes, topic: str) -> tuple[int, int]:
    """Return width and height by the header alone; raises ValueError for what is no picture."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            size, kind = header.size, header.format
    except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
        raise ValueError(
            f'{topic}: expected JPEG or PNG data, got {len(data)} bytes that do not decode '
            f'({type(error).__name__})'
        ) from error
    if kind == 'JPEG' and (scans := data.count(b'\xff\xda')) > MOST_SCANS:
        raise ValueError(f'{topic}: expected a JPEG of at most {MOST_SCANS} scans, got {scans}')
    at = 8 if kind == 'PNG' else len(data)
    while at < len(data):  # OpenCV takes as much memory as a chunk says that it has bytes
        length, name = int.from_bytes(data[at : at + 4], 'big'), data[at + 4 : at + 8]
        at += 12 + length
        if at > len(data) or name == b'acTL':
            raise ValueError(f'{topic}: expected a whole PNG of one picture, got another')
    return size
