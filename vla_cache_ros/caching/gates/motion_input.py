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
from vla_cache_ros.caching.gates.side_threads import each_camera
from vla_cache_ros.caching.patches import unpatchify

CHANNELS = 7
SIDE = 112  # pixels
FLOW_SCALE = 8.0  # pixels a step at half size
DIFFERENCE_SCALE = 32.0  # grey levels
AGE_SCALE = 24.0  # steps
# Grey levels, mean over a camera. Within an episode of the simulated robot frames differ by at
# most 31, the wrist camera's; frames of two cameras by 50 (median).
CUT_DIFFERENCE = 40.0
_COLOUR = np.arange(256, dtype=np.float32) * np.float32(2 / 255) - 1  # of each level
_MEAN = np.full((1, 3), 1 / (3 * DIFFERENCE_SCALE), dtype=np.float32)


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
        self._grey: list[np.ndarray] | None = None  # of each camera, [112, 112]

    def remember(self, pixels: np.ndarray) -> None:
        """Take images uint8 `[cams, 224, 224, 3]` as the previous frame of the next call."""
        self._grey = [_grey(_half(image)) for image in pixels]
        self.cut = False

    def __call__(self, pixels: np.ndarray, reference: np.ndarray, ages: np.ndarray) -> np.ndarray:
        """
        Return the planes float32 `[cams, 7, 112, 112]` and keep the frame for the next call.

        Channels: 0-2 RGB in [-1, 1]; 3-4 flow from the previous frame, right and down, in pixels /
        8 within [-1, 1], zero without a previous frame or after a cut; 5 mean absolute difference
        to `reference` in grey levels / 32 within [0, 1]; 6 age / 24 within [0, 1].

        Args:
            pixels: uint8 `[cams, 224, 224, 3]`.
            reference: uint8 `[V, 588]`, the patches that the cached tokens were produced from.
            ages: int `[V]`, 1 where a token was recomputed in the previous step.

        """
        produced = unpatchify(reference, *pixels.shape[1:3])  # [cams, 224, 224, 3]
        ages = np.minimum(ages.reshape(len(pixels), -1) / AGE_SCALE, 1).astype(np.float32)
        previous = self._grey
        if previous is None or len(previous) != len(pixels):
            previous = [None] * len(pixels)
        planes = np.empty((len(pixels), CHANNELS, SIDE, SIDE), dtype=np.float32)

        def fill(camera: int) -> tuple[np.ndarray, bool]:
            half = _half(pixels[camera])  # [112, 112, 3]
            grey, out = _grey(half), planes[camera]
            for channel, colour in enumerate(cv2.split(half)):
                cv2.LUT(colour, _COLOUR, dst=out[channel])
            cut = _flow(previous[camera], grey, out[3:5])
            changed = _half(cv2.absdiff(pixels[camera], produced[camera])).astype(np.float32)
            np.minimum(cv2.transform(changed, _MEAN), 1, out=out[5])  # [112, 112]
            side = round(ages.shape[1] ** 0.5)  # tokens in a row
            size = SIDE // side
            out[6].reshape(side, size, side, size)[...] = ages[camera].reshape(side, 1, side, 1)
            return grey, cut

        greys, cuts = zip(*each_camera(fill, len(pixels)), strict=True)
        self._grey, self.cut = list(greys), any(cuts)
        return planes


def _flow(previous: np.ndarray | None, grey: np.ndarray, out: np.ndarray) -> bool:
    """Write the flow between grey images `[112, 112]` to `[2, 112, 112]`; return if it is cut."""
    out.fill(0)
    if previous is None or previous.shape != grey.shape:
        return False
    if cv2.norm(previous, grey, cv2.NORM_L1) / grey.size > CUT_DIFFERENCE:
        return True
    flow = optical_flow(previous, grey)  # [2, 112, 112]
    flow *= 1 / FLOW_SCALE
    np.clip(flow, -1, 1, out=out)
    return False


def _half(image: np.ndarray) -> np.ndarray:
    """Return an image `[H, W, 3]` at half size by area averaging."""
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _grey(half: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)
