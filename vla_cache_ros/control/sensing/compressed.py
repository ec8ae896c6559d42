# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Unfold the pictures of sensor_msgs/CompressedImage, and heed what image_transport says of them.

Its `format` names the camera's encoding, then what was compressed: `bayer_rggb8; jpeg compressed
bayer_rggb8`. Data that anyone may have sent are refused by their header, before they are unfolded.
"""

import contextlib
import io

import cv2
import numpy as np
from PIL import Image

FORMATS = ('JPEG', 'PNG')  # of compressed pictures
MIN_SIDE = 32  # pixels; anything smaller is a camera that has not started, not a picture
MOST_PIXELS = 2**25  # 8K; a compressed picture of some kB can unfold to gigabytes
MOST_SCANS = 32  # of a JPEG, which is gone through once for each; progressive ones have ten
# How OpenCV makes colours of a mosaic. It names a pattern by its second row, ROS by its first.
MOSAICS = {
    'bayer_rggb8': cv2.COLOR_BayerBG2RGB,
    'bayer_bggr8': cv2.COLOR_BayerRG2RGB,
    'bayer_gbrg8': cv2.COLOR_BayerGR2RGB,
    'bayer_grbg8': cv2.COLOR_BayerGB2RGB,
}
_DEPTH = ('compresseddepth', '16uc1', '32fc1')


def decode_compressed(message: object, topic: str) -> np.ndarray:
    """
    Return a sensor_msgs/CompressedImage as RGB uint8 [H, W, 3]; a mosaic is made to colours.

    Raises ValueError, in one line that names the topic, for depth, for a mosaic of another depth
    than 8 bits, and for data that are no picture.
    """
    if any(word in message.format.lower() for word in _DEPTH):
        raise ValueError(
            f'{topic}: expected pictures of a colour camera, got depth ({message.format!r})'
        )
    data = bytes(message.data)
    width, height, channels = _compressed_size(data, topic)
    if min(width, height) < MIN_SIDE or width * height > MOST_PIXELS:
        raise ValueError(
            f'{topic}: expected an image of at least {MIN_SIDE}x{MIN_SIDE} and at most '
            f'{MOST_PIXELS} pixels, got {width}x{height}'
        )
    mosaic = mosaic_of(message.format) if channels == 1 else ''
    if mosaic and mosaic not in MOSAICS:
        raise ValueError(
            f'{topic}: expected a mosaic among {", ".join(MOSAICS)}, got {message.format!r}'
        )
    pixels = None
    with contextlib.suppress(cv2.error):
        flag = cv2.IMREAD_GRAYSCALE if mosaic else cv2.IMREAD_COLOR
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if pixels is None:
        raise ValueError(
            f'{topic}: expected JPEG or PNG data, got {len(data)} bytes that do not decode'
        )
    return cv2.cvtColor(pixels, MOSAICS[mosaic] if mosaic else cv2.COLOR_BGR2RGB)


def mosaic_of(form: str) -> str:
    """Return the encoding of a mosaic that was compressed as it is, by the `format`; else ''."""
    encoding, _, compression = form.partition(';')
    encoding, target = encoding.strip(), compression.rpartition('compressed')[2].strip()
    # of old, image_transport names no target where it compresses what it got
    same = encoding.startswith('bayer_') and target in ('', encoding)
    return encoding if same else ''


def _compressed_size(data: bytes, topic: str) -> tuple[int, int, int]:
    """Return width, height, channels by the header alone; raises ValueError for no picture."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            size, kind = header.size, header.format
            channels = len(header.getbands())
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
    return *size, channels
