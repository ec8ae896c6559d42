# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Estimate optical flow between two grey images.

The method is DIS (dense inverse search) on the CPU, without learned weights. Another one may take
its place behind `OpticalFlow`, but a gate has to be trained with the flow that it will be given.
"""

import cv2
import numpy as np

# Smaller and denser patches than the preset's 8 and 4: on frames of the simulated robot the error
# after warping is lower by 30 % (fixed camera) and 14 % (wrist), for half as much time again.
PATCH_SIZE = 4
PATCH_STRIDE = 3


class OpticalFlow:
    """Estimate flow, one pair of frames at a time: it keeps buffers that threads cannot share."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._dis.setPatchSize(PATCH_SIZE)
        self._dis.setPatchStride(PATCH_STRIDE)

    def __call__(self, previous_grey: np.ndarray, grey: np.ndarray) -> np.ndarray:
        """
        Return the flow `[H, W, 2]` float32 in pixels, right and down, from one frame to the next.

        What was at (x, y) in `previous_grey` is at (x + flow[y, x, 0], y + flow[y, x, 1]) in
        `grey`. Both are uint8 `[H, W]`, with sides of 16 pixels at the least. Equal frames give
        equal flow, whatever came before.
        """
        return self._dis.calc(previous_grey, grey, None)
