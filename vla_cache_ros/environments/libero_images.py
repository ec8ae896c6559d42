# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn LIBERO's camera images into what OpenVLA's evaluation shows the model, byte by byte.

Half a turn, JPEG, Lanczos to 224, the middle 90 % of the area; TensorFlow's results without
TensorFlow. Source: `experiments/robot` of moojink/openvla-oft, run with TensorFlow 2.15.
"""

from io import BytesIO

import numpy as np
from PIL import Image
from vla_cache_ros.environments.lanczos import lanczos3_resize

SIZE = 224  # pixels of the model's images
CROP = np.float32(0.9) ** 0.5  # side of 90 % of the area


def model_image(rendered: np.ndarray) -> np.ndarray:
    """Return uint8 [224, 224, 3] of a camera's image [H, W, 3] as the simulator gives it."""
    upright = np.ascontiguousarray(rendered[::-1, ::-1])  # training data was turned so
    return center_crop(lanczos3_resize(jpeg(upright), SIZE, SIZE))


def jpeg(image: np.ndarray) -> np.ndarray:
    """
    Return a uint8 image `[H, W, 3]` after TensorFlow's JPEG encoder and decoder.

    PIL writes the same bytes; TensorFlow decodes with the fast integer transform, PIL does not.
    """
    import simplejpeg  # of the extra `libero`

    buffer = BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=95, subsampling='4:2:0')
    return simplejpeg.decode_jpeg(buffer.getvalue(), fastdct=True, fastupsample=False)


def center_crop(image: np.ndarray) -> np.ndarray:
    """
    Return the middle 90 % of the area of a uint8 square `[N, N, 3]`, at its size again.

    Bilinear, corners aligned, as `tf.image.crop_and_resize` samples; at most one level differs
    from it.
    """
    size = len(image)
    values = image.astype(np.float32) / np.float32(255)
    offset = (1 - CROP) / 2 * (size - 1)
    places = offset + np.arange(size) * (CROP * (size - 1) / (size - 1))  # [N]
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, size - 1)
    part = (places - low).astype(np.float32)
    rows = values[low] + (values[high] - values[low]) * part[:, None, None]
    left, right = rows[:, low], rows[:, high]
    mixed = left + (right - left) * part[:, None]  # [N, N, 3]
    return np.clip(np.floor(mixed * np.float32(255.5)), 0, 255).astype(np.uint8)
