# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Notice a camera whose pictures have come without colour: a model of colour pictures sees less.

One rule for mono cameras, gray JPEG of colour cameras and the like: red, green and blue are equal
in every pixel, picture after picture. What a sensor of colours sees has noise of colours.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

NO_COLOUR = 'pictures without colour'
_PICTURES = 3  # in a row: a scene may be gray for a moment, where a simulator draws it
_SPARSE = 8  # pixels from one that is looked at to the next


class ColourWatch:
    """Count the gray pictures that each camera has shown in a row."""

    def __init__(self) -> None:
        """Begin with no picture seen."""
        self._gray: Counter[str] = Counter()
        self._said: set[str] = set()

    @property
    def gray(self) -> list[str]:
        """Return the topics whose last pictures had no colour."""
        return sorted(topic for topic, count in self._gray.items() if count >= _PICTURES)

    def take(self, topics: Sequence[str], images: Sequence[np.ndarray]) -> list[str]:
        """Take an observation's RGB images; return a line for each camera found gray, once."""
        for topic, image in zip(topics, images, strict=True):
            self._gray[topic] = self._gray[topic] + 1 if _is_gray(image) else 0
        new = set(self.gray) - self._said
        self._said |= new
        return [
            f'{topic}: {NO_COLOUR}: red, green and blue are equal in every pixel; see the '
            "camera's encoding and what image_transport makes of it"
            for topic in sorted(new)
        ]


def _is_gray(image: np.ndarray) -> bool:
    """Say whether an RGB image has equal channels; most are told by a few of their pixels."""
    return all(
        np.array_equal(part[..., channel], part[..., 0])
        for part in (image[::_SPARSE, ::_SPARSE], image)
        for channel in (1, 2)
    )
