# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw an episode as a film strip: one column per inference, three rows per camera.

The rows are what the camera saw, what was reused of it (shaded) and the scores. Colours of scores
are the same in all columns. Chooses nothing about tokens and computes no figure.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image
from PIL import ImageDraw
from vla_cache_ros.environments.tabletop.phase import CONTACT
from vla_cache_ros.evaluation.episode.trace import Inference
from vla_cache_ros.evaluation.episode.trace import Trace
from vla_cache_ros.overlay import ACCENT
from vla_cache_ros.overlay import FADE
from vla_cache_ros.overlay import grids
from vla_cache_ros.overlay import INK
from vla_cache_ros.overlay import PAPER
from vla_cache_ros.overlay import shade
from vla_cache_ros.reports.video import BAR
from vla_cache_ros.reports.video import DIM
from vla_cache_ros.reports.video import typeface

COLUMNS = 12
PANEL = 176  # px, edge of one picture
GAP = 8  # px between pictures
CAMERA_GAP = 24  # px between the rows of two cameras
LEFT = 52  # px, names of the rows
TOP = 184  # px, instruction and the titles of the columns
LINE = 30  # px, one line of the legend
BOTTOM = 4 * LINE + 32  # px, legend
NARROWEST = 800  # px, so that the legend fits
_GREY = (58, 62, 70)
_FORCED = (88, 214, 232)
_ROWS = ('camera', 'reused', 'score')


def columns(count: int) -> list[int]:
    """Return which of `count` inferences are shown: evenly chosen, the first and last always."""
    return np.unique(np.linspace(0, count - 1, min(count, COLUMNS)).round().astype(int)).tolist()


def strip_size(shown: int, cameras: int) -> tuple[int, int]:
    """Return (width, height) of a strip in px."""
    rows = len(_ROWS) * cameras * (PANEL + GAP) + (cameras - 1) * CAMERA_GAP
    return max(LEFT + shown * (PANEL + GAP) + GAP, NARROWEST), TOP + rows + BOTTOM


def draw_strip(trace: Trace, cameras: Sequence[str]) -> Image.Image:
    """
    Draw a filmed episode.

    cameras: their names, in the order of the images.
    Raises ValueError if the episode was not filmed.
    """
    if not trace.pictures:
        raise ValueError('film strip: expected an episode with its pictures, found none')
    shown = [trace.inferences[index] for index in columns(len(trace.inferences))]
    canvas = Image.new('RGB', strip_size(len(shown), len(cameras)), PAPER)
    pen = ImageDraw.Draw(canvas)
    bounds = _bounds(shown)
    _draw_header(pen, trace, canvas.width)
    for index, inference in enumerate(shown):
        x = LEFT + index * (PANEL + GAP)
        _draw_title(pen, x, inference)
        panels = _panels(inference, trace.pictures[inference.step], bounds)
        for row, panel in enumerate(panels):
            canvas.paste(panel, (x, _y(row)))
    for row in range(len(_ROWS) * len(cameras)):
        name = cameras[row // len(_ROWS)] if row % len(_ROWS) == 0 else _ROWS[row % len(_ROWS)]
        _draw_row_name(canvas, name, _y(row), INK if row % len(_ROWS) == 0 else DIM)
    _draw_legend(canvas, pen, bounds)
    return canvas


def _y(row: int) -> int:
    return TOP + row * (PANEL + GAP) + row // len(_ROWS) * CAMERA_GAP


def _bounds(shown: Sequence[Inference]) -> tuple[float, float] | None:
    """Return the scores at both ends of the colour scale, None where there is no score."""
    scores = [inference.scores for inference in shown if inference.scores is not None]
    if not scores:
        return None
    # a few flickering patches shall not darken all others
    low, high = np.percentile(np.concatenate(scores), [0, 99])
    return float(low), float(max(high, low + 1e-9))


def _panels(
    inference: Inference, images: Sequence[np.ndarray], bounds: tuple[float, float] | None
) -> list[Image.Image]:
    cameras = len(images)
    masks = grids(inference.active, cameras)
    scores = None if inference.scores is None else grids(inference.scores, cameras)
    by_score = inference.active if inference.by_score is None else inference.by_score
    marks = grids(by_score, cameras)
    panels = []
    for camera, image in enumerate(images):
        panels.append(Image.fromarray(shade(image, None, PANEL)))
        panels.append(Image.fromarray(shade(image, FADE * ~masks[camera], PANEL)))
        if scores is None or bounds is None:
            panels.append(_no_scores(inference))
        else:
            panels.append(_heat_map(scores[camera], masks[camera], marks[camera], bounds))
    return panels


def _heat_map(
    scores: np.ndarray, active: np.ndarray, by_score: np.ndarray, bounds: tuple[float, float]
) -> Image.Image:
    """Draw scores [edge, edge] as colours, with a dot on every recomputed patch."""
    low, high = bounds
    colors = _colors((scores - low) / (high - low))  # [edge, edge, 3]
    picture = Image.fromarray(colors).resize((PANEL, PANEL), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    cell = PANEL / len(scores)
    for row, column in np.argwhere(active):
        x, y = (column + 0.5) * cell, (row + 0.5) * cell
        pen.rectangle((x - 2.5, y - 2.5, x + 1.5, y + 1.5), fill=PAPER)  # to tell it from yellow
        pen.rectangle(
            (x - 1.5, y - 1.5, x + 0.5, y + 0.5), fill=INK if by_score[row, column] else _FORCED
        )
    return picture


def _colors(shares: np.ndarray) -> np.ndarray:
    return matplotlib.colormaps['inferno'](np.clip(shares, 0, 1), bytes=True)[..., :3]


def _no_scores(inference: Inference) -> Image.Image:
    picture = Image.new('RGB', (PANEL, PANEL), _GREY)
    reason = _spaced(inference.report.refresh) or f'gate {inference.report.gate}'
    text = f'no scores:\n{reason}'
    centre = (PANEL // 2, PANEL // 2)
    pen = ImageDraw.Draw(picture)
    pen.multiline_text(centre, text, INK, typeface(15), anchor='mm', align='center')
    return picture


def _draw_header(pen: ImageDraw.ImageDraw, trace: Trace, width: int) -> None:
    pen.text((LEFT, 34), f'“{trace.instruction}”', INK, typeface(28), anchor='lm')
    result = 'success' if trace.episode.success else 'not done'
    text = f'{result} after {trace.episode.steps} steps'
    gate = trace.inferences[0].report.gate
    text = f'gate {gate}  ·  seed {trace.episode.seed}  ·  {text}'
    # in a narrow strip both do not fit into one line
    y = 34 if width > 1200 else 64
    x, anchor = (width - GAP, 'rm') if y == 34 else (LEFT, 'lm')
    pen.text((x, y), text, DIM, typeface(20), anchor=anchor)


def _draw_title(pen: ImageDraw.ImageDraw, x: int, inference: Inference) -> None:
    report = inference.report
    pen.text(
        (x, TOP - 80), f'step {inference.step}  ·  {inference.time:.1f} s', INK, typeface(17), 'lm'
    )
    if report.refresh:
        pen.text((x, TOP - 58), f'all: {_spaced(report.refresh)}', ACCENT, typeface(15), 'lm')
    else:
        chose = '' if inference.ratio is None else f', chose {inference.ratio:.0%}'
        pen.text((x, TOP - 58), f'{report.reuse:.0%} reused{chose}', INK, typeface(15), 'lm')
    color = ACCENT if inference.phase == CONTACT else DIM
    pen.text((x, TOP - 37), inference.phase, color, typeface(15), 'lm')
    text = f'off by {inference.translation:.1f} mm'
    pen.text((x + PANEL, TOP - 37), text, DIM, typeface(15), 'rm')
    pen.rectangle((x, TOP - 20, x + PANEL - 1, TOP - 14), fill=_GREY)
    if report.reuse > 0:
        width = max(1, round(PANEL * report.reuse))
        pen.rectangle((x, TOP - 20, x + width - 1, TOP - 14), fill=BAR)


def _draw_row_name(canvas: Image.Image, name: str, y: int, color: tuple[int, int, int]) -> None:
    label = Image.new('RGB', (PANEL, LEFT - 2 * GAP), PAPER)
    pen = ImageDraw.Draw(label)
    pen.text((PANEL // 2, label.height // 2), name, color, typeface(19), anchor='mm')
    canvas.paste(label.rotate(90, expand=True), (GAP, y))


def _draw_legend(
    canvas: Image.Image, pen: ImageDraw.ImageDraw, bounds: tuple[float, float] | None
) -> None:
    y, font = canvas.height - BOTTOM + LINE, typeface(17)

    def entry(x: int, text: str) -> int:
        pen.text((x, y), text, INK, font, 'lm')
        return x + round(pen.textlength(text, font)) + GAP

    entry(LEFT, 'shaded: taken from the cache; “off by”: distance to what dense does, per action')
    if bounds is None:
        return
    y += LINE
    low, high = bounds
    x = entry(LEFT, f'score {low:.3g}')
    bar = np.tile(_colors(np.linspace(0, 1, 140)), (16, 1, 1))  # [16, 140, 3]
    canvas.paste(Image.fromarray(bar), (x, y - 8))
    entry(x + 140 + GAP, f'{high:.3g} and more')
    for color, text in (
        (INK, 'recomputed: scores higher than all that is reused'),
        (_FORCED, 'recomputed, but not for its score: age, chance or another rule of the gate'),
    ):
        y += LINE
        pen.rectangle((LEFT + 4, y - 4, LEFT + 12, y + 4), fill=color)
        entry(LEFT + 16 + GAP, text)


def _spaced(name: str) -> str:
    return name.replace('_', ' ')
