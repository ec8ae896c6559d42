# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Count what each patch of an image shows, from a segmentation of the renderer."""

import numpy as np

PATCHES = 16  # per image side


def patch_shares(ids: np.ndarray, classes: np.ndarray, count: int) -> np.ndarray:
    """
    Return how much of each patch each class covers.

    ids: int32 [224, 224] geom ids (-1 nothing). classes: uint8 [geoms + 1], class per geom id,
    the last one for -1; below count. Result: uint8 [256, count], pixels of the 196 in a patch.
    """
    side = ids.shape[0] // PATCHES
    labels = classes[ids].reshape(PATCHES, side, PATCHES, side)
    counts = [(labels == c).sum((1, 3)).ravel() for c in range(count)]
    return np.stack(counts, -1).astype(np.uint8)
