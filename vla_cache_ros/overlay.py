# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw what a model saw, and shade what it took from its cache: the darker, the older.

OpenCV and numpy only, and little Python: drawn beside a policy, it must not take the interpreter
from it. Knows neither messages nor models; a patch is a square of the picture.
"""

from collections.abc import Sequence

import cv2
import numpy as np

INK = (238, 240, 243)
PAPER = (22, 25, 31)
ACCENT = (255, 176, 46)
SHADE = (38, 62, 92)  # what reused patches fade into
FADE = 0.6  # how far, where ages are not told
FRESH, STALE = 0.4, 0.85  # how far at an age of one step, and of OLD and more
OLD = 8  # steps
SIZE = 224  # px, edge of the picture: 14 for each of a model's 16 patches
LINE = 17  # px, one line of text below it
_FONT, _SCALE, _MARGIN = cv2.FONT_HERSHEY_SIMPLEX, 0.38, 5


def grids(values: np.ndarray, cameras: int) -> np.ndarray:
    """
    Lay out one value a token [V] as one square grid per camera [cameras, edge, edge].

    Raises ValueError if the tokens do not divide so.
    """
    edge = round((len(values) / cameras) ** 0.5)
    if edge * edge * cameras != len(values):
        raise ValueError(
            f'cannot lay out {len(values)} tokens: expected a square grid per camera, '
            f'{cameras} cameras came'
        )
    return np.asarray(values).reshape(cameras, edge, edge)


def fades(ages: np.ndarray) -> np.ndarray:
    """Return how far tokens of these ages (steps; 0: of this step) are faded, 0 to 1."""
    older = np.clip((ages - 1) / (OLD - 1), 0.0, 1.0)
    return np.where(ages > 0, FRESH + (STALE - FRESH) * older, 0.0)


def shade(image: np.ndarray, fade: np.ndarray | None, size: int) -> np.ndarray:
    """
    Return the image uint8 [size, size, 3] with its reused patches faded.

    fade: [edge, edge], how far each patch is, 0 to 1; None leaves all of them clear.
    """
    shrinks = size < image.shape[0]
    view = cv2.resize(
        image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    if fade is None:
        return view
    # bytes throughout, and enlarged last: floats of this size take five times as long
    kept = np.repeat(255 * (1 - fade[..., None]), 3, axis=2)  # [edge, edge, 3]
    kept, tint = (
        cv2.resize(np.rint(part).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        for part in (kept, fade[..., None] * SHADE)
    )
    return cv2.add(cv2.multiply(view, kept, scale=1 / 255), tint)


def draw_overlay(
    image: np.ndarray, fade: np.ndarray | None, lines: Sequence[str], alarm: bool = False
) -> np.ndarray:
    """
    Draw an image [H, W, 3] in a square, its reused patches faded, and lines of text below.

    alarm: frame the picture, and stress the last line. Returns uint8 RGB
    [SIZE + LINE * lines, SIZE, 3].
    """
    canvas = np.empty((SIZE + LINE * len(lines), SIZE, 3), np.uint8)
    canvas[:SIZE], canvas[SIZE:] = shade(image, fade, SIZE), PAPER
    if alarm:
        cv2.rectangle(canvas[:SIZE], (1, 1), (SIZE - 2, SIZE - 2), ACCENT, 3)
    for index, text in enumerate(lines):
        (width, height), _ = cv2.getTextSize(text, _FONT, _SCALE, 1)
        scale = _SCALE * min(1.0, (SIZE - 2 * _MARGIN) / max(width, 1))
        place = (_MARGIN, SIZE + LINE * index + (LINE + height) // 2)
        color = ACCENT if alarm and index == len(lines) - 1 else INK
        cv2.putText(canvas, text, place, _FONT, scale, color, 1, cv2.LINE_AA)
    return canvas
