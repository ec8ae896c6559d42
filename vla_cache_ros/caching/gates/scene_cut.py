# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Tell a camera that shows another scene from one that moves, or that grows brighter.

A picture is taken as cells, each with its mean colour and its place. A cell is explained by the
other picture as well as its nearest cell there fits, in colour and, loosely, in place. Whatever
moves or comes into view leaves most cells explained, in one direction at least; another scene few.
How well the cells of one picture explain each other says what motion may do to its texture.
"""

import cv2
import numpy as np

CELLS = 14  # along a side
UNCHANGED = 1.0  # grey levels; another scene leaves no half of the picture as it was
NEAR = 2.0  # grey levels of colour that one cell of distance counts for
MISFIT = 8.0  # grey levels; a cell that fits worse is not explained, however much worse
TEXTURE = 6.0  # grey levels; more of a misfit than this is put down to no texture
# Grey levels, mean over cells, beyond the texture. Within an episode of the simulated robot
# pictures differ by at most 0.7, photographs that move by a tenth of their width by 1.0.
CUT = 1.2
BRIGHTENED_CUT = 0.5  # where brightness was allowed to explain what it can,
SPREAD = 0.1  # and half of the cells brightened alike: largest median deviation, as a share
SATURATED = 250.0  # grey levels
_ROWS, _COLUMNS = np.mgrid[:CELLS, :CELLS].astype(np.float32) * NEAR
_PLACES = np.stack([_ROWS, _COLUMNS], axis=-1).reshape(-1, 2)


def is_cut(before: np.ndarray, now: np.ndarray) -> bool:
    """Say whether neither motion nor light leads from one picture uint8 `[H, W, 3]` to another."""
    before, now = _cells(before), _cells(now)
    if np.median(np.abs(before - now)) <= UNCHANGED or not _unexplained(before, now, CUT):
        return False
    lit = (before < SATURATED) & (now < SATURATED)
    if not lit.any():
        return True
    gains = np.log((before[lit] + 1) / (now[lit] + 1))
    gain = float(np.median(gains))
    if np.median(np.abs(gains - gain)) > SPREAD:
        return True
    gain = np.exp(gain)
    # what is cut off in one of them is cut off in the other too
    before, now = np.minimum(before, 255 * gain), np.minimum(now * gain, 255)
    return _unexplained(before, now, BRIGHTENED_CUT)


def _cells(picture: np.ndarray) -> np.ndarray:
    """Return the mean colours float32 `[n, 3]` of the cells."""
    small = cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    return small.reshape(-1, 3).astype(np.float32)


def _unexplained(before: np.ndarray, now: np.ndarray, limit: float) -> bool:
    """Say whether the cells [n, 3] explain each other worse than their texture does, by limit."""
    before, now = (np.hstack([colours, _PLACES]) for colours in (before, now))
    between = _squared(before, now)
    misfit = min(_misfit(between.min(axis=1)), _misfit(between.min(axis=0)))
    if misfit <= limit:
        return False
    return misfit - min(max(_texture(before), _texture(now)), TEXTURE) > limit


def _texture(cells: np.ndarray) -> float:
    """Return how badly the cells [n, 5] of one picture explain each other."""
    between = _squared(cells, cells)
    np.fill_diagonal(between, np.inf)
    return _misfit(between.min(axis=1))


def _squared(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the squared distances [n, m] of cells [n, 5] and [m, 5]."""
    norms = [(cells * cells).sum(axis=1, keepdims=True) for cells in (some, others)]
    ones = np.ones_like(norms[0])
    return np.hstack([-2 * some, norms[0], ones]) @ np.hstack([others, ones, norms[1]]).T


def _misfit(squared: np.ndarray) -> float:
    """Return the mean misfit of cells by the squared distances [n] to what fits them best."""
    return float(np.minimum(np.sqrt(np.maximum(squared, 0) / 3), MISFIT).mean())
