# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The steps that lead from a camera's picture to the model's square: JPEG, resize, centre crop.

Where the evaluations of OpenVLA take TensorFlow 2.15, its results without TensorFlow (source:
`experiments/robot` of moojink/openvla-oft). Knows no camera and no checkpoint.
"""

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image

IMAGE_SIZE = 224  # pixels of the model's images, each way
RADIUS = 3.0  # of the Lanczos kernel
STRIP = 32  # rows that are cropped at a time


def resize(image: np.ndarray, mode: str, kernel: str, size: int = IMAGE_SIZE) -> np.ndarray:
    """
    Return a uint8 RGB image `[H, W, 3]` as a square of `size`; one of that size as it is.

    mode: `squash` changes the aspect, `pad` keeps it and adds black bars, `crop` takes the middle
    square. kernel: `bicubic` as PIL's, `lanczos3` as TensorFlow's.
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image
    scaled = lanczos3_resize if kernel == 'lanczos3' else _bicubic
    if mode == 'pad':
        high, wide = (max(1, round(size * n / max(height, width))) for n in (height, width))
        top, left = (size - high) // 2, (size - wide) // 2
        square = np.zeros((size, size, 3), np.uint8)
        square[top : top + high, left : left + wide] = scaled(image, high, wide)
        return square
    if mode == 'crop':
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    return scaled(image, size, size)


def jpeg(image: np.ndarray) -> np.ndarray:
    """
    Return a uint8 image `[H, W, 3]` after TensorFlow's JPEG encoder and decoder.

    PIL writes the same bytes; TensorFlow decodes with the fast integer transform, PIL does not.
    """
    import simplejpeg  # of the extra `libero`

    buffer = BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=95, subsampling='4:2:0')
    return simplejpeg.decode_jpeg(buffer.getvalue(), fastdct=True, fastupsample=False)


def center_crop(image: np.ndarray, share: float) -> np.ndarray:
    """
    Return the middle `share` of the area of a uint8 square `[N, N, 3]`, at its size again.

    Bilinear, corners aligned, as `tf.image.crop_and_resize` samples; at most one level differs
    from it.
    """
    low, high, part = _crop_places(len(image), share)
    wide = [(3 * one[:, None] + np.arange(3)).ravel() for one in (low, high)]  # of a row
    cropped = np.empty_like(image)
    for first in range(0, len(image), STRIP):  # what is small needs no new pages of memory
        strip = slice(first, first + STRIP)
        rows = (image[one[strip]].reshape(len(one[strip]), -1) for one in (low, high))
        above, below = (row.astype(np.float32) / np.float32(255) for row in rows)
        row = _between(above, below, part[strip, None])
        mixed = _between(row.take(wide[0], 1), row.take(wide[1], 1), part.repeat(3))  # 0 to 1
        mixed *= np.float32(255.5)
        cropped[strip] = mixed.astype(np.uint8).reshape(-1, *image.shape[1:])
    return cropped


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    high -= low
    high *= part
    high += low
    return high


@lru_cache(maxsize=16)
def _crop_places(size: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels before and after each place that is sampled, and how far between [N]."""
    side = np.float32(share) ** 0.5
    offset = (1 - side) / 2 * (size - 1)
    places = offset + np.arange(size) * (side * (size - 1) / (size - 1))
    low = np.floor(places).astype(int)
    return low, np.minimum(low + 1, size - 1), (places - low).astype(np.float32)


def lanczos3_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """
    Return a uint8 image `[H, W, C]` at another size, rounded and clipped to uint8.

    As `tf.image.resize(..., 'lanczos3', antialias=True)`, from which at most one level differs, on
    at most 0.04 % of values; PIL's Lanczos differs on a fifth of them. Raises ValueError for
    another type or shape, or a size below 1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or 0 in image.shape:
        raise ValueError(
            f'image: expected uint8 [H, W, C], found {image.dtype} {list(image.shape)}'
        )
    if min(height, width) < 1:
        raise ValueError(f'size: expected at least 1 x 1, got {height} x {width}')
    rows = _weights(image.shape[0], height)  # [height, H]
    columns = _weights(image.shape[1], width)  # [width, W]
    values = np.tensordot(rows, image.astype(np.float32), axes=(1, 0))  # [height, W, C]
    values = np.matmul(columns, values)  # [height, width, C]
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))


@lru_cache(maxsize=16)
def _weights(size: int, target: int) -> np.ndarray:
    """
    Return what each input pixel gives to each output pixel, float32 `[target, size]`.

    The kernel is stretched by the scale where an image shrinks, cut off at the border and its
    rest scaled to a sum of one.
    """
    scale = size / target
    stretch = max(scale, 1.0)
    centers = (np.arange(target) + 0.5) * scale  # of the output pixels, in input pixels
    distance = np.abs(np.arange(size) + 0.5 - centers[:, None]) / stretch  # [target, size]
    kernel = np.where(distance <= RADIUS, np.sinc(distance) * np.sinc(distance / RADIUS), 0.0)
    return (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
