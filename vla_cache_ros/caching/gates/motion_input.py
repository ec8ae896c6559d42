# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make what the learned gate sees: colour, motion, how much each token's picture has changed, age.

Everything is at half the size S of the images, so that a patch of 14x14 pixels becomes 7x7. Keeps
the previous frame and nothing else; knows neither the network nor the cache.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from vla_cache_ros.caching.gates.flow import OpticalFlow
from vla_cache_ros.caching.gates.scene_cut import is_cut
from vla_cache_ros.caching.patches import PATCH
from vla_cache_ros.caching.patches import unpatchify

CHANNELS = 7
FLOW_SCALE = 8.0  # pixels a step at half size
DIFFERENCE_SCALE = 32.0  # grey levels
AGE_SCALE = 24.0  # steps
CHANGED = 8.0  # grey levels, mean over a camera; frames that differ by less are not looked into


@dataclass(frozen=True)
class Motion:
    """
    Hold what a step's images show, before it is laid out for a network.

    colour: uint8 `[cams, S, S, 3]`, the images at half size. flow: float32
    `[cams, S, S, 2]` from the previous frame, right and down, in pixels within
    +-`FLOW_SCALE`. change: float32 `[cams, S, S]` within [0, 1].
    """

    colour: np.ndarray
    flow: np.ndarray
    change: np.ndarray


class MotionInput:
    """
    Turn images, producing pixels and ages into what the gate's network takes.

    cut: whether a camera of the last call showed another scene than the step before.
    """

    def __init__(self) -> None:
        self._optical_flow = OpticalFlow()
        self.reset()

    def reset(self) -> None:
        """Forget the previous frame."""
        self.cut = False
        self._half: np.ndarray | None = None
        self._grey: np.ndarray | None = None

    def remember(self, pixels: np.ndarray) -> None:
        """Take images uint8 `[cams, 2 * S, 2 * S, 3]` as the previous frame of the next call."""
        self._half = _half(pixels)
        self._grey = _grey(self._half)
        self.cut = False

    def __call__(self, pixels: np.ndarray, reference: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """
        Return the planes float32 `[cams, 7, S, S]` and keep the frame for the next call.

        Channels: 0-2 RGB in [-1, 1]; 3-4 flow from the previous frame, right and down, in pixels /
        8 within [-1, 1], zero without a previous frame or after a cut; 5 mean absolute difference
        to `reference` in grey levels / 32 within [0, 1]; 6 age / 24 within [0, 1].

        pixels: uint8 `[cams, 2 * S, 2 * S, 3]`.
        reference: uint8 `[V, 588]`, the patches that the cached tokens were produced from.
        ages: int `[V]`, 1 where a token was recomputed in the previous step.
        """
        motion = self.see(pixels, reference)
        whole = motion.change.shape[1]
        planes = np.empty((len(pixels), CHANNELS, whole, whole), dtype=np.float32)
        np.multiply(motion.colour.transpose(0, 3, 1, 2), np.float32(2 / 255), out=planes[:, :3])
        planes[:, :3] -= 1
        np.multiply(motion.flow.transpose(0, 3, 1, 2), 1 / FLOW_SCALE, out=planes[:, 3:5])
        planes[:, 5] = motion.change
        rows = pixels.shape[1] // PATCH
        side = whole // rows
        age = scaled_age(ages).reshape(-1, rows, 1, rows, 1)
        planes[:, 6].reshape(-1, rows, side, rows, side)[...] = age
        return planes

    def see(self, pixels: np.ndarray, reference: np.ndarray) -> Motion:
        """Return what a call puts into planes, ages left out, and keep the frame as it does."""
        cameras, height, width, _ = pixels.shape
        half = _half(pixels)  # [cams * S, S, 3]
        flow = self._flow(half, cameras)
        produced = unpatchify(reference, height, width)  # [cams, 2 * S, 2 * S, 3]
        produced = _tall(produced)
        changed = _half(cv2.absdiff(_tall(pixels), produced, produced))  # [cams * S, S, 3]
        mean = np.full((1, 3), 1 / (3 * DIFFERENCE_SCALE), dtype=np.float32)
        changed = cv2.transform(changed.astype(np.float32), mean)  # [cams * S, S]
        np.minimum(changed, 1, out=changed)
        shape = (cameras, height // 2, width // 2)
        return Motion(half.reshape(*shape, 3), flow, changed.reshape(shape))

    def _flow(self, half: np.ndarray, cameras: int) -> np.ndarray:
        """Return the flow `[cams, S, S, 2]`, clipped; half is `[cams * S, S, 3]`."""
        seen, self._half = self._half, half
        previous, self._grey = self._grey, _grey(half)
        grey = self._grey
        side = half.shape[1]
        flow = np.zeros((cameras, side, side, 2), dtype=np.float32)
        self.cut = False
        if previous is None or previous.shape != grey.shape:
            return flow
        for camera in range(cameras):
            rows = slice(camera * side, (camera + 1) * side)
            before, now = previous[rows], grey[rows]
            difference = cv2.norm(before, now, cv2.NORM_L1) / now.size
            if difference > CHANGED and is_cut(seen[rows], half[rows]):
                self.cut = True
                continue
            found = self._optical_flow(before, now)  # [S, S, 2]
            np.clip(found, -FLOW_SCALE, FLOW_SCALE, out=flow[camera])
        return flow


def scaled_age(ages: np.ndarray) -> np.ndarray:
    """Return ages `[V]`, in steps, as the network sees them, within [0, 1]."""
    return np.minimum(ages / AGE_SCALE, 1)


def _tall(pixels: np.ndarray) -> np.ndarray:
    """Return images `[cams, H, W, 3]` as one image `[cams * H, W, 3]`: one call for all."""
    return pixels.reshape(-1, *pixels.shape[2:]) if pixels.ndim == 4 else pixels


def _half(pixels: np.ndarray) -> np.ndarray:
    """Return images at half size by area averaging, below each other: `[cams * S, S, 3]`."""
    tall = _tall(pixels)
    size = (tall.shape[1] // 2, tall.shape[0] // 2)
    return cv2.resize(tall, size, interpolation=cv2.INTER_AREA)


def _grey(half: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)
