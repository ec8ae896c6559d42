# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node that say where pictures come from and what is done with them.

Knows neither ROS nor what a picture is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vla_cache_ros.control.parameters import parameter
from vla_cache_ros.control.parameters import Parameters


@dataclass(frozen=True)
class ImageParameters(Parameters):
    """Parameters of vla_node about images."""

    image_topics: tuple[str, ...] = parameter(
        ('image_raw',),
        'image topics, in the order of the cameras the checkpoint expects',
        pattern=r'[~/\w]+',
    )
    camera_names: tuple[str, ...] = parameter(
        (),
        'what each of image_topics is called where the checkpoint was trained (front for '
        'observation.images.front), to be held against its names and their order; empty: not '
        'compared',
        pattern='.+',
    )
    image_transport: tuple[str, ...] = parameter(
        ('raw',),
        'raw (Image messages) or compressed (CompressedImage on <topic>/compressed); one for all '
        'cameras, or one for each',
        pattern='raw|compressed',
    )
    encoding_8uc3: str = parameter(
        '',
        'bgr8 or rgb8: what images of encoding 8UC3 are, whose order of colours nothing says; '
        'empty: they are refused',
        pattern='|bgr8|rgb8',
    )
    image_rotation: tuple[float, ...] = parameter(
        (),
        'degrees clockwise by which pictures are turned, a multiple of 90; one for all cameras, '
        'or one for each; none: as the checkpoint states',
        'deg',
        (0.0, 270.0),
    )
    resize_mode: str = parameter(
        '',
        'how pictures become square: squash (the aspect changes), pad (black bars) or crop (the '
        'middle square); empty: as the checkpoint states, else squash',
        pattern='|squash|pad|crop',
    )
    resize_filter: str = parameter(
        '',
        "bicubic, or lanczos3 as OpenVLA-OFT's evaluation resizes; empty: as the checkpoint "
        'states, else bicubic',
        pattern='|bicubic|lanczos3',
    )
    center_crop: float = parameter(
        -1.0,
        'share of the area that the model sees of the middle; 0.9 for a checkpoint that was '
        'fine-tuned with image_aug, 1 for the whole; below 0: as the checkpoint states, else 1',
        bounds=(-1.0, 1.0),
    )

    def image_path(self) -> dict[str, Any]:
        """Return what is asked for in place of the checkpoint's image path, field by field."""
        given = {
            'rotation': tuple(map(int, self.image_rotation)),
            'resize_mode': self.resize_mode,
            'resize_filter': self.resize_filter,
        }
        asked = {name: value for name, value in given.items() if value}
        return asked if self.center_crop < 0 else {**asked, 'center_crop': self.center_crop}

    def contradiction(self) -> str:
        """Return which list does not fit the cameras, or an empty string."""
        if len(self.camera_names) not in (0, len(self.image_topics)):
            found = list(self.camera_names)
            return f'camera_names: expected none, or one for each of image_topics, got {found}'
        one_or_each, turns = (1, len(self.image_topics)), self.image_rotation
        if len(self.image_transport) not in one_or_each:
            found = list(self.image_transport)
            return f'image_transport: expected one, or one for each of image_topics, got {found}'
        if len(turns) not in (0, *one_or_each) or any(degrees % 90 for degrees in turns):
            return (
                'image_rotation: expected multiples of 90, one or one for each of image_topics, '
                f'got {list(turns)}'
            )
        return ''


def image_names(topics: Sequence[str], transports: Sequence[str]) -> list[str]:
    """
    Return the names under which images come.

    transports: one for all topics, or one for each.
    """
    each = transports if len(transports) > 1 else [*transports] * len(topics)
    return [
        f'{topic}/compressed' if transport == 'compressed' else topic
        for topic, transport in zip(topics, each, strict=True)
    ]
