# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Fit cameras' pictures into the square of SmolVLA, pi0 and pi0.5, their aspect kept.

Computed in float32 from the camera's own picture, without antialiasing, as LeRobot does: what a
gate sees is that square in uint8, and for SmolVLA smaller. Source: LeRobot 0.6.1,
`policies/common/vla_utils.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.image_path import changed_paths
from vla_cache_ros.vla.image_path import ROTATIONS
from vla_cache_ros.vla.image_path import see


@dataclass(frozen=True)
class LetterboxPath:
    """
    Hold the steps of one camera's pictures.

    size: pixels of the square's sides. corner: whether bars are left and above alone (SmolVLA), or
    on both sides. rotation: degrees clockwise, before.
    """

    size: int
    corner: bool
    rotation: int = 0

    def __post_init__(self) -> None:
        if self.rotation not in ROTATIONS or isinstance(self.rotation, bool):
            raise CheckpointError(
                f'rotation: expected {", ".join(map(str, ROTATIONS))}, found {self.rotation!r:.80}'
            )

    def square(self, image: np.ndarray) -> Tensor:
        """Return a uint8 RGB image `[H, W, 3]` as float32 `[1, 3, size, size]` in [0, 1]."""
        if self.rotation:
            image = np.ascontiguousarray(np.rot90(image, -self.rotation // 90))
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        height, width = image.shape[:2]
        if height == width == self.size:
            return pixels
        ratio = max(width / self.size, height / self.size)
        high, wide = max(1, int(height / ratio)), max(1, int(width / ratio))
        pixels = F.interpolate(pixels, size=(high, wide), mode='bilinear', align_corners=False)
        over, left = self.size - high, self.size - wide
        if self.corner:
            return F.pad(pixels, (left, 0, over, 0))
        bars = (left // 2, left - left // 2, over // 2, over - over // 2)
        return F.pad(pixels.clamp(0, 1), bars)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return a uint8 RGB image `[H, W, 3]` as a uint8 square."""
        if image.shape[:2] == (self.size, self.size) and not self.rotation:
            return image
        square = self.square(image)[0].permute(1, 2, 0)
        return square.mul_(255).round_().to(torch.uint8).contiguous().numpy()

    def __str__(self) -> str:
        """Return the steps in words."""
        turned = f'turned by {self.rotation} degrees, ' if self.rotation else ''
        where = 'left and above' if self.corner else 'on both sides'
        return f'{turned}letterbox to {self.size} (bilinear, bars {where})'


@dataclass(frozen=True)
class Letterbox:
    """
    Make of pictures what a gate sees and what a tower takes.

    paths: one for all cameras, or one for each. seen: pixels of the sides of a gate's picture.
    """

    paths: tuple[LetterboxPath, ...]
    seen: int

    @property
    def size(self) -> int:
        """Return the pixels of the square's sides."""
        return self.paths[0].size

    @property
    def walked(self) -> tuple[LetterboxPath, ...]:
        """Return what is done with pictures, which is always known."""
        return self.paths

    def for_cameras(self, count: int, changes: Mapping[str, Any] | None) -> Letterbox:
        """Return the same, `rotation` replaced; raises CheckpointError for any other field."""
        if others := sorted({*(changes or {})} - {'rotation'}):
            raise CheckpointError(
                f'{", ".join(others)}: expected rotation alone, since this family letterboxes its '
                'pictures as it was taught; leave the others out'
            )
        return replace(self, paths=changed_paths(self.paths, changes or {}, count))

    def as_seen(self) -> Letterbox:
        """Return the same for squares that `paths` have made before."""
        return replace(self, paths=(replace(self.paths[0], rotation=0),))

    def see(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return cameras' pictures, uint8 RGB `[H, W, 3]`, as uint8 `[cams, seen, seen, 3]`."""
        squares = see(self.paths, images)
        if self.seen == self.size:
            return squares
        shape = (self.seen, self.seen)
        return np.stack([cv2.resize(one, shape, interpolation=cv2.INTER_AREA) for one in squares])

    def normalize(self, pixels: np.ndarray, images: Sequence[np.ndarray] = ()) -> Tensor:
        """
        Return a tower's input in [-1, 1], float32 `[1, cams * 3, size, size]`.

        images: the cameras' own, of which `see` made the pixels; without any the pixels are taken,
        which are then to be of the full size.
        """
        if len(images):
            each = self.paths if len(self.paths) > 1 else self.paths * len(images)
            squares = [path.square(one) for path, one in zip(each, images, strict=True)]
        elif pixels.shape[1] == self.size:
            squares = [replace(self.paths[0], rotation=0).square(one) for one in pixels]
        else:
            raise ValueError(
                f'pixels: expected squares of {self.size}, or images, got {list(pixels.shape)}'
            )
        return (torch.cat(squares) * 2 - 1).flatten(0, 1)[None]

    def __str__(self) -> str:
        """Return the image paths in words."""
        each = [str(path) for path in self.paths]
        if len(set(each)) > 1:
            each = [f'camera {index}: {text}' for index, text in enumerate(each)]
        return '; '.join(dict.fromkeys(each))
