# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn ROS image messages into RGB arrays.

Pixels are decoded by cv_bridge where a ROS install offers it, else by OpenCV. Works on any object
with the fields of the message, so messages read from a bag are as good as live ones. It does not
know when a message is too old, nor what is done with the arrays.
"""

import cv2
import numpy as np
from vla_cache_ros.control.sensing.compressed import decode_compressed
from vla_cache_ros.control.sensing.compressed import MIN_SIDE
from vla_cache_ros.control.sensing.compressed import MOSAICS

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None

# Bytes per pixel of the encodings that can become RGB, and how OpenCV converts them.
ENCODINGS = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    **{name: (1, conversion) for name, conversion in MOSAICS.items()},
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUYV),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUYV),
    'nv12': (1, cv2.COLOR_YUV2RGB_NV12),
    'nv21': (1, cv2.COLOR_YUV2RGB_NV21),
}
# One plane of brightness, then one of half the height with the colours of two by two pixels.
PLANAR = ('nv12', 'nv21')
CHROMA = ('yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', *PLANAR)  # pixels share their colours
UNORDERED = '8UC3'  # three channels of any meaning
_UNBRIDGED = ('uyvy', 'yuyv', *PLANAR)  # that not every cv_bridge knows
BLACK = 10  # of 255; a covered or dead camera shows noise below this


def name_order(message: object, order: str) -> None:
    """Put an order of colours, bgr8 or rgb8, in place of an encoding that has none, if given."""
    if order and getattr(message, 'encoding', '') == UNORDERED:
        message.encoding = order


def check_image(message: object, topic: str) -> None:
    """
    Raise ValueError unless a sensor_msgs/Image header describes its data and there is light.

    Cheap enough to be called on every frame. A frame of an encoding with alpha or chroma, which
    are bright in the dark, is judged by `to_rgb` alone.
    """
    encoding = message.encoding
    if encoding == UNORDERED:
        raise ValueError(
            f"{topic}: expected an encoding that says the order of colours, got '{UNORDERED}'; "
            'set encoding_8uc3 to bgr8 or rgb8'
        )
    if encoding not in ENCODINGS:
        raise ValueError(
            f'{topic}: expected one of the encodings {", ".join(ENCODINGS)}, got {encoding!r}'
        )
    if min(message.height, message.width) < MIN_SIDE:
        raise ValueError(
            f'{topic}: expected an image of at least {MIN_SIDE}x{MIN_SIDE} pixels, '
            f'got {message.width}x{message.height}'
        )
    if encoding in CHROMA and message.width % 2:
        raise ValueError(
            f'{topic}: expected an even width for {encoding}, where two pixels share '
            f'their colour, got {message.width}'
        )
    if encoding in PLANAR and message.height % 2:
        raise ValueError(
            f'{topic}: expected an even height for {encoding}, where two rows share '
            f'their colours, got {message.height}'
        )
    row = message.width * ENCODINGS[encoding][0]
    if message.step < row:
        raise ValueError(
            f'{topic}: expected a step of at least {row} bytes for {message.width} pixels '
            f'of {encoding}, got {message.step}'
        )
    stride, rows = _layout(message)
    if len(message.data) != stride * rows:
        raise ValueError(
            f'{topic}: expected {stride * rows} bytes '
            f'(step {stride} x height {rows}), got {len(message.data)}'
        )
    if not encoding.startswith(('rgba', 'bgra')) and encoding not in CHROMA:
        _check_light(np.frombuffer(message.data, np.uint8), topic)


def to_rgb(message: object, topic: str) -> np.ndarray:
    """
    Return a sensor_msgs/Image or CompressedImage as RGB uint8 [H, W, 3].

    Raises ValueError, in one line that names the topic, for an encoding that cannot become RGB,
    for sizes that do not fit together, for compressed data that is no picture, and for a frame
    without any pixel brighter than BLACK.
    """
    if hasattr(message, 'format'):
        rgb = decode_compressed(message, topic)
    else:
        check_image(message, topic)
        bridged = CvBridge and message.encoding not in _UNBRIDGED
        rgb = _with_cv_bridge(message) if bridged else _with_opencv(message)
    _check_light(rgb, topic)
    return rgb


def _layout(message: object) -> tuple[int, int]:
    """
    Return bytes from row to row and rows of a message's data; of two planes, of both together.

    Where there are two planes, drivers disagree on what the step is of: a row of brightness, or as
    many bytes as a pixel has in all. Without padding the data say it.
    """
    if message.encoding not in PLANAR:
        return message.step, message.height
    rows = message.height * 3 // 2
    packed = len(message.data) == message.width * rows
    return message.width if packed else message.step, rows


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
    stride, rows = _layout(message)
    # [H, step] -> [H, W, size], without the padding at the end of a row
    pixels = np.frombuffer(message.data, np.uint8).reshape(rows, stride)
    pixels = pixels[:, : message.width * size].reshape(rows, message.width, size)
    if conversion is None:  # a copy: the message's buffer belongs to the middleware
        return pixels.copy()
    return cv2.cvtColor(pixels, conversion)
