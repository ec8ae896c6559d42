# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Cut images into the 14x14 patches behind the visual tokens, and compare patches.

One row per visual token: cameras in order, patches of a camera in raster order. Works on raw uint8
pixels; knows neither towers nor the cache that keeps such rows.
"""

import cv2
import numpy as np

PATCH = 14
PATCH_VALUES = PATCH * PATCH * 3  # 588


def patchify(images: np.ndarray) -> np.ndarray:
    """
    Return the patches [V, 588] uint8 of images [cams, H, W, 3] uint8, V = cams * H/14 * W/14.

    Raises ValueError: wrong dtype or rank, or a side that is no multiple of 14.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(
            f'patchify needs uint8 images [cams, H, W, 3], got {images.dtype} {list(images.shape)}'
        )
    cameras, height, width, _ = images.shape
    if height % PATCH or width % PATCH:
        raise ValueError(f'patchify needs sides divisible by {PATCH}, got {height}x{width}')
    rows, columns = height // PATCH, width // PATCH
    # [cams, rows, 14, columns, 14 * 3] -> [cams, rows, columns, 14, 42]
    cut = images.reshape(cameras, rows, PATCH, columns, PATCH * 3).transpose(0, 1, 3, 2, 4)
    return cut.reshape(cameras * rows * columns, PATCH_VALUES)


def unpatchify(patches: np.ndarray, height: int, width: int) -> np.ndarray:
    """
    Return the images [cams, height, width, 3] uint8 that `patchify` cut into patches [V, 588].

    Raises ValueError: the patches do not fill a whole number of such images.
    """
    rows, columns = height // PATCH, width // PATCH
    cameras, rest = divmod(len(patches), rows * columns)
    if rest or height % PATCH or width % PATCH:
        raise ValueError(f'unpatchify: {len(patches)} patches do not fill {height}x{width} images')
    # whole lines of 42 bytes as one element each: numpy copies them twice as fast
    lines = np.ascontiguousarray(patches).view(f'V{PATCH * 3}')  # [V, 14]
    # [cams, rows, columns, 14] -> [cams, rows, 14, columns]
    lines = lines.reshape(cameras, rows, columns, PATCH).transpose(0, 1, 3, 2)
    return np.ascontiguousarray(lines).view(np.uint8).reshape(cameras, height, width, 3)


def mean_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the mean absolute difference [V] float32, in grey levels, of patches [V, 588]."""
    difference = cv2.absdiff(first, second)  # [V, 588] uint8
    # cv2.reduce vectorises over uint8; numpy's sum would widen every value first
    total = cv2.reduce(difference, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32F)  # [V, 1]
    return total.reshape(-1) / PATCH_VALUES


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine [V] float32 of raw patches [V, 588]; two black patches count as equal."""
    squares = _row_sum_of_products(first, first) * _row_sum_of_products(second, second)
    dot = _row_sum_of_products(first, second)
    # A zero vector has no direction: equal if both are black, else as different as can be.
    both_black = ~(first.any(axis=1) | second.any(axis=1))
    similarity = dot / np.sqrt(np.maximum(squares, 1.0))  # any non-zero square sum is >= 1
    return np.where(squares > 0, similarity, both_black.astype(np.float32))


def _row_sum_of_products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # OpenCV widens while it multiplies: a tenth of the time of astype(float32) and einsum
    products = cv2.multiply(first, second, dtype=cv2.CV_32F)  # [V, 588]
    return cv2.reduce(products, 1, cv2.REDUCE_SUM).reshape(-1)  # [V]
