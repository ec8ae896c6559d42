# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of a scene that two cameras look at while it moves."""

import cv2
import numpy as np


def scenery(seed=0):
    """Return a large smooth texture, uint8 [320, 320, 3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (320, 320, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)


def view(right=0, down=0, seed=0):
    """Return two cameras' images of a scenery that has moved by so many pixels."""
    images = [scenery(seed + camera) for camera in (0, 1)]
    top, left = 40 - down, 40 - right
    return np.stack([image[top : top + 224, left : left + 224] for image in images])
