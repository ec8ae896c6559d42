# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make what the learned gate sees: colour, motion, how much each token's picture has changed, age.

Everything is at half the size of the images, so that a patch of 14x14 pixels becomes 7x7. Keeps
the previous frame and nothing else; knows neither the network nor the cache.
"""

import cv2
import numpy as np
from vla_cache_ros.caching.gates.flow import optical_flow
from vla_cache_ros.caching.patches import PATCH
from vla_cache_ros.caching.patches import unpatchify

CHANNELS = 7
SIDE = 112  # pixels
FLOW_SCALE = 8.0  # pixels a step at half size
DIFFERENCE_SCALE = 32.0  # grey levels
AGE_SCALE = 24.0  # steps
# Grey levels, mean over a camera. Within an episode of the simulated robot frames differ by at
# most 31, the wrist camera's; frames of two cameras by 50 (median).
CUT_DIFFERENCE = 40.0


class MotionInput:
    """
    Turn images, producing pixels and ages into the planes that the gate's network takes.

    cut: whether a camera of the last call showed another scene than the step before.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the previous frame."""
        self.cut = False
        self._grey: np.ndarray | None = None

    def remember(self, pixels: np.ndarray) -> None:
        """Take images uint8 `[cams, 224, 224, 3]` as the previous frame of the next call."""
        self._grey = _grey(_half(pixels))
        self.cut = False

    def __call__(self, pixels: np.ndarray, reference: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """
        Return the planes float32 `[cams, 7, 112, 112]` and keep the frame for the next call.

        Channels: 0-2 RGB in [-1, 1]; 3-4 flow from the previous frame, right and down, in pixels /
        8 within [-1, 1], zero without a previous frame or after a cut; 5 mean absolute difference
        to `reference` in grey levels / 32 within [0, 1]; 6 age / 24 within [0, 1].

        pixels: uint8 `[cams, 224, 224, 3]`.
        reference: uint8 `[V, 588]`, the patches that the cached tokens were produced from.
        ages: int `[V]`, 1 where a token was recomputed in the previous step.
        """
        cameras, height, width, _ = pixels.shape
        half = _half(pixels)  # [cams * 112, 112, 3]
        planes = np.empty((cameras, CHANNELS, SIDE, SIDE), dtype=np.float32)

        rgb = half.reshape(cameras, SIDE, SIDE, 3).transpose(0, 3, 1, 2)  # [cams, 3, 112, 112]
        np.multiply(rgb, np.float32(2 / 255), out=planes[:, :3])
        planes[:, :3] -= 1

        self._flow(_grey(half), planes[:, 3:5])

        produced = unpatchify(reference, height, width)  # [cams, 224, 224, 3]
        changed = _half(cv2.absdiff(_tall(pixels), _tall(produced)))  # [cams * 112, 112, 3]
        mean = np.full((1, 3), 1 / (3 * DIFFERENCE_SCALE), dtype=np.float32)
        changed = cv2.transform(changed.astype(np.float32), mean)  # [cams * 112, 112]
        np.minimum(changed.reshape(cameras, SIDE, SIDE), 1, out=planes[:, 5])

        rows = height // PATCH
        age = np.minimum(ages / AGE_SCALE, 1).reshape(cameras, rows, 1, -1, 1)
        side = SIDE // rows
        planes[:, 6].reshape(cameras, rows, side, rows, side)[...] = age
        return planes

    def _flow(self, grey: np.ndarray, planes: np.ndarray) -> None:
        """Write the flow to planes `[cams, 2, 112, 112]`; grey is `[cams * 112, 112]`."""
        previous, self._grey = self._grey, grey
        planes.fill(0)
        self.cut = False
        if previous is None or previous.shape != grey.shape:
            return
        for camera in range(len(planes)):
            rows = slice(camera * SIDE, (camera + 1) * SIDE)
            before, now = previous[rows], grey[rows]
            if cv2.norm(before, now, cv2.NORM_L1) / now.size > CUT_DIFFERENCE:
                self.cut = True
                continue
            flow = optical_flow(before, now)  # [2, 112, 112]
            flow *= 1 / FLOW_SCALE
            np.clip(flow, -1, 1, out=planes[camera])


def _tall(pixels: np.ndarray) -> np.ndarray:
    """Return images `[cams, H, W, 3]` as one image `[cams * H, W, 3]`: one call for all."""
    return pixels.reshape(-1, *pixels.shape[2:]) if pixels.ndim == 4 else pixels


def _half(pixels: np.ndarray) -> np.ndarray:
    """Return images at half size by area averaging, below each other: `[cams * 112, 112, 3]`."""
    tall = _tall(pixels)
    size = (tall.shape[1] // 2, tall.shape[0] // 2)
    return cv2.resize(tall, size, interpolation=cv2.INTER_AREA)


def _grey(half: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)
