# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check what comes into a step against the model's sizes. Knows nothing of what is cached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import InputError


def check_inputs(
    layout: SlotLayout, config: VLAConfig, pixels: np.ndarray, proprio: np.ndarray | None
) -> None:
    """Raise InputError unless pixels are uint8 `[cams, S, S, 3]` and proprio is `[P]`."""
    wanted = [layout.cameras, config.picture_size, config.picture_size, 3]
    if pixels.dtype != np.uint8 or list(pixels.shape) != wanted:
        raise InputError(
            f'images: expected uint8 {wanted}, found {pixels.dtype} {list(pixels.shape)}'
        )
    if config.proprio_dim:
        wanted, found = [config.proprio_dim], None if proprio is None else proprio.shape
        if found is None or list(found) != wanted:
            raise InputError(f'proprio: expected {wanted} numbers, found {found}')


def check_encoded(pixel_values: Tensor | np.ndarray, wanted: Sequence[int]) -> None:
    """Raise InputError unless the encoded images have the wanted shape."""
    if list(pixel_values.shape) != wanted:
        raise InputError(f'pixel_values: expected {wanted}, found {list(pixel_values.shape)}')
