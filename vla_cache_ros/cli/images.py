# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is done with recorded pictures before the model sees them: options that two verbs have."""

from dataclasses import dataclass
from typing import Annotated
from typing import Any
from typing import Literal

from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ImageOptions(Settings):
    """With --bag or --dataset: the image path, where it is not the checkpoint's own."""

    center_crop: Annotated[float, Bounds(0, 1)] | None = None
    """--bag, --dataset: share of the area that is left in the middle; 0.9 if trained with
    image_aug."""
    resize_mode: Literal['squash', 'pad', 'crop'] | None = None
    """--bag, --dataset: to the model's square: change the aspect, add black bars, or take the
    middle."""
    resize_filter: Literal['bicubic', 'lanczos3'] | None = None
    """--bag, --dataset: how it is resized; lanczos3 as OpenVLA-OFT's evaluation does."""
    image_rotation: tuple[Literal[0, 90, 180, 270], ...] = ()
    """--bag, --dataset: degrees clockwise; one for all cameras, or one for each."""
    encoding_8uc3: Literal['', 'bgr8', 'rgb8'] = ''
    """--bag: what images of encoding 8UC3, whose order of colours nothing says, are."""

    def images(self) -> dict[str, Any]:
        """Return the fields of image paths that were given, as `Policy.from_pretrained` takes."""
        given = {
            'rotation': self.image_rotation or None,
            'resize_mode': self.resize_mode,
            'resize_filter': self.resize_filter,
            'center_crop': self.center_crop,
        }
        return {name: value for name, value in given.items() if value is not None}
