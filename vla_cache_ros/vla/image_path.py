# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what is done with a camera's picture before the model sees it, for each checkpoint and camera.

A checkpoint states it under the key `image_path` of `preprocessor_config.json`: an object with
fields of ImagePath, or a list of them, one for each camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import numpy as np
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import flag
from vla_cache_ros.vla.files.json_file import mapping
from vla_cache_ros.vla.files.json_file import number
from vla_cache_ros.vla.image_steps import center_crop
from vla_cache_ros.vla.image_steps import IMAGE_SIZE
from vla_cache_ros.vla.image_steps import jpeg
from vla_cache_ros.vla.image_steps import resize

KEY = 'image_path'
ROTATIONS = (0, 90, 180, 270)  # degrees clockwise
_CHOICES = {
    'rotation': ROTATIONS,
    'resize_mode': ('squash', 'pad', 'crop'),
    'resize_filter': ('bicubic', 'lanczos3'),
}
_LEAST = 0.01  # share of the area: two dozen pixels across


@dataclass(frozen=True)
class ImagePath:
    """
    Hold the steps of one camera's pictures, in their order.

    rotation: degrees clockwise. jpeg: encode and decode, as the evaluations of OpenVLA in LIBERO
    do. resize_mode, resize_filter: to the model's square, see `image_steps.resize`. center_crop:
    share of the area that is left of it, resized back; 0.9 for what was trained with image_aug.
    """

    rotation: int = 0
    jpeg: bool = False
    resize_mode: str = 'squash'
    resize_filter: str = 'bicubic'
    center_crop: float = 1.0

    def __post_init__(self) -> None:
        """Raise CheckpointError for a value that is not one."""
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known or isinstance(value, bool):
                raise CheckpointError(
                    f'{name}: expected {", ".join(map(str, known))}, found {value!r:.80}'
                )
        flag('jpeg', self.jpeg)
        number('center_crop', self.center_crop, _LEAST, 1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return a uint8 RGB image `[H, W, 3]` as the model sees it, `[224, 224, 3]`."""
        if self.rotation:
            image = np.ascontiguousarray(np.rot90(image, -self.rotation // 90))
        if self.jpeg:
            image = jpeg(image)
        image = resize(image, self.resize_mode, self.resize_filter)
        return image if self.center_crop == 1 else center_crop(image, self.center_crop)

    def __str__(self) -> str:
        """Return the steps in words."""
        steps = [f'turned by {self.rotation} degrees'] if self.rotation else []
        steps += ['JPEG'] if self.jpeg else []
        steps.append(f'{self.resize_mode} to {IMAGE_SIZE} ({self.resize_filter})')
        whole = self.center_crop == 1
        steps.append('no centre crop' if whole else f'centre crop {self.center_crop:g}')
        return ', '.join(steps)


def see(paths: Sequence[ImagePath], images: Sequence[np.ndarray]) -> np.ndarray:
    """
    Return cameras' pictures, uint8 RGB `[H, W, 3]`, as the model sees them `[cams, 224, 224, 3]`.

    paths: one for all cameras, or one for each.
    """
    each = paths if len(paths) > 1 else [*paths] * len(images)
    return np.stack([path(image) for path, image in zip(each, images, strict=True)])


def read_paths(source: str, found: object) -> tuple[ImagePath, ...]:
    """Return what a checkpoint states; raises CheckpointError naming source and field."""
    each = found if isinstance(found, list) else [found]
    try:
        return tuple(ImagePath(**mapping(KEY, one)) for one in each)
    except TypeError as error:
        raise CheckpointError(f'{source}: {KEY}: {error}') from error
    except CheckpointError as error:
        raise CheckpointError(f'{source}: {error}') from error


def written_paths(paths: Sequence[ImagePath]) -> Any:  # noqa: ANN401
    """Return what `read_paths` reads."""
    found = [asdict(path) for path in paths]
    return found[0] if len(found) == 1 else found


def changed_paths(
    paths: Sequence[ImagePath], changes: Mapping[str, Any], cameras: int
) -> tuple[ImagePath, ...]:
    """
    Return one path for each camera, with fields replaced.

    changes: field -> a value for all cameras, or a sequence with one for each. Raises
    CheckpointError for another number of values and for a value that is not one.
    """
    made = [paths[0]] * cameras if len(paths) == 1 else list(paths)
    for name, values in changes.items():
        each = values if isinstance(values, list | tuple) else [values]
        if len(each) not in (1, cameras):
            raise CheckpointError(
                f'{name}: expected one value, or {cameras}, one for each camera of this '
                f'checkpoint, got {len(each)}'
            )
        each = list(each) * (cameras // len(each))
        made = [replace(path, **{name: one}) for path, one in zip(made, each, strict=True)]
    return tuple(made)
