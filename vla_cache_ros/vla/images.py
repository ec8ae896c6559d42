# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn camera images into `pixel_values` as the Prismatic image processor does.

The checkpoint's image path, of old PIL's bicubic resize straight to 224 x 224 whatever the aspect
("resize-naive"), then one normalisation for each tower, stacked on the channel axis. Knows nothing
of cameras' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.vla.config import IMAGE_SIZE
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.image_path import changed_paths
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_path import KEY
from vla_cache_ros.vla.image_path import read_paths
from vla_cache_ros.vla.image_path import see
from vla_cache_ros.vla.image_path import written_paths

# The published conversion ran in bfloat16, so its ImageNet constants are rounded: these, not
# 0.485 / 0.229, are what the weights were used with.
_DINO = ((0.484375, 0.455078125, 0.40625), (0.228515625, 0.2236328125, 0.224609375))
_SIGLIP = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class ImagePreprocessor:
    """
    Hold one mean and one standard deviation (RGB, of values in [0, 1]) for each tower.

    paths: what is done with the pictures first, one for all cameras or one for each; none where
    the checkpoint does not state it.
    """

    means: tuple[tuple[float, ...], ...]
    stds: tuple[tuple[float, ...], ...]
    paths: tuple[ImagePath, ...] = ()

    @classmethod
    def for_towers(cls, towers: Sequence[TowerConfig]) -> ImagePreprocessor:
        """Return the published constants for these towers."""
        pairs = [_SIGLIP if tower.attention_pool else _DINO for tower in towers]
        return cls(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))

    @classmethod
    def from_pretrained(cls, folder: str | Path, towers: int) -> ImagePreprocessor:
        """
        Read `tvf_normalize_params` of `preprocessor_config.json`, the authoritative constants.

        `image_path` is read where it is there. Raises CheckpointError if the file or the key is
        absent or does not fit the towers.
        """
        path = Path(folder) / 'preprocessor_config.json'
        raw = read_json(path)
        params = raw.get('tvf_normalize_params')
        if not isinstance(params, list) or len(params) != towers:
            raise CheckpointError(
                f'{path}: expected {towers} entries in tvf_normalize_params, found {params!r:.60}'
            )
        if raw.get('image_resize_strategy', 'resize-naive') != 'resize-naive':
            raise CheckpointError(
                f"{path}: expected image_resize_strategy 'resize-naive', "
                f'found {raw["image_resize_strategy"]!r:.60}'
            )
        try:
            means = tuple(tuple(float(v) for v in p['mean']) for p in params)
            stds = tuple(tuple(float(v) for v in p['std']) for p in params)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f'{path}: expected mean and std in tvf_normalize_params ({error!r:.200})'
            ) from error
        rows = [*means, *stds]
        if any(len(row) != 3 or not all(map(math.isfinite, row)) for row in rows) or 0 in sum(
            stds, ()
        ):
            raise CheckpointError(
                f'{path}: expected three finite numbers as each mean and std, found {rows!r:.80}'
            )
        return cls(means, stds, read_paths(str(path), raw[KEY]) if KEY in raw else ())

    def for_cameras(self, count: int, changes: Mapping[str, Any] | None) -> ImagePreprocessor:
        """
        Return the same with fields of the image paths replaced, see `changed_paths`.

        Raises CheckpointError where the paths are of another number of cameras, or cannot be
        walked for lack of a package.
        """
        if len(self.paths) not in (0, 1, count):
            raise CheckpointError(
                f'{KEY}: expected one, or {count}, one for each camera, found {len(self.paths)}'
            )
        if any(path.jpeg for path in self.paths) and find_spec('simplejpeg') is None:
            raise CheckpointError(
                f'{KEY}: expected the package simplejpeg for its JPEG step, found none: pip '
                "install 'vla_cache_ros[libero]'"
            )
        if not changes:
            return self
        return replace(self, paths=changed_paths(self.walked, changes, count))

    def as_seen(self) -> ImagePreprocessor:
        """Return the same for pictures that have been through `see` before."""
        return replace(self, paths=(ImagePath(),))

    def see(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return cameras' pictures, uint8 RGB `[H, W, 3]`, as uint8 `[cams, 224, 224, 3]`."""
        return see(self.walked, images)

    @property
    def walked(self) -> tuple[ImagePath, ...]:
        """Return `paths`, or what is assumed where there are none."""
        return self.paths or (ImagePath(),)

    def __str__(self) -> str:
        """Return the image paths in words, and whether they are assumed."""
        each = [str(path) for path in self.walked]
        if len(set(each)) > 1:
            each = [f'camera {index}: {text}' for index, text in enumerate(each)]
        text = '; '.join(dict.fromkeys(each))
        if self.paths:
            return text
        return (
            f'{text}: assumed, the checkpoint states no {KEY}; one that was fine-tuned with '
            'image_aug needs center_crop 0.9'
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a `preprocessor_config.json`."""
        n = len(self.means)
        return {
            'image_processor_type': 'PrismaticImageProcessor',
            'image_resize_strategy': 'resize-naive',
            'input_sizes': [[3, IMAGE_SIZE, IMAGE_SIZE]] * n,
            'interpolations': ['bicubic'] * n,
            'means': [list(m) for m in self.means],
            'stds': [list(s) for s in self.stds],
            'tvf_do_letterbox': False,
            'tvf_letterbox_fill': None,
            'tvf_normalize_params': [
                {'inplace': False, 'mean': list(m), 'std': list(s)}
                for m, s in zip(self.means, self.stds, strict=True)
            ],
            'use_fused_vision_backbone': n == 2,
            **({KEY: written_paths(self.paths)} if self.paths else {}),
        }

    def normalize(self, pixels: np.ndarray, images: Sequence[np.ndarray] = ()) -> Tensor:
        """
        Map uint8 `[cams, 224, 224, 3]` to `pixel_values` float32 `[1, cams * channels, 224, 224]`.

        Each camera gives three channels for each tower, in the towers' order. images: what the
        pixels were made of, which is not looked at here.
        """
        channels = len(self.levels)
        values = np.empty((len(pixels), channels, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
        for image, planes in zip(pixels, values, strict=True):
            colours = cv2.split(image)
            for channel, plane in enumerate(planes):
                cv2.LUT(colours[channel % 3], self.levels[channel, None], dst=plane)
        return torch.from_numpy(values).reshape(1, -1, IMAGE_SIZE, IMAGE_SIZE)

    @cached_property
    def levels(self) -> np.ndarray:
        """Return what each grey level becomes in each channel, float32 `[channels, 256]`."""
        levels = torch.arange(256).float().div_(255.0)
        pairs = [
            (mean, std)
            for means, stds in zip(self.means, self.stds, strict=True)
            for mean, std in zip(means, stds, strict=True)
        ]
        rows = [(levels - mean).div_(torch.tensor(std)) for mean, std in pairs]
        return torch.stack(rows).numpy()


def check_images(images: Sequence[np.ndarray], count: int, names: Sequence[str] = ()) -> None:
    """
    Raise InputError unless there are `count` images, each uint8 RGB `[H, W, 3]`.

    names: of the cameras in their order, where they are known.
    """
    if len(images) != count:
        order = ', then '.join(names) or 'primary camera first'
        raise InputError(f'images: expected {count} ({order}), found {len(images)}')
    for index, image in enumerate(images):
        found = type(image).__name__
        if isinstance(image, np.ndarray):
            found = f'{image.dtype} {list(image.shape)}'
            if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
                if image.size:
                    continue
        name = f' ({names[index]})' if names else ''
        raise InputError(f'image {index}{name}: expected uint8 RGB [H, W, 3], found {found}')
