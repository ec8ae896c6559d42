# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A small picture as cameras' drivers send it."""

import io

import cv2
import numpy as np
from PIL import Image

SMALL = np.full((48, 64, 3), 120, np.uint8)


def jpeg(pixels=SMALL, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


WHOLE = [
    jpeg(),
    jpeg(progressive=True),
    cv2.imencode('.png', SMALL)[1].tobytes(),
    cv2.imencode('.png', SMALL[..., 0])[1].tobytes(),
]
