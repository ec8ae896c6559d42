# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Draw what the robot saw and what the cache spared, and write it as an H.264 video.

Takes frames that are already decoded. Knows neither bags nor models: a patch is a square of the
image, active or reused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

CAMERA_SIZE = 448  # px, edge of one camera's square in the video
HEADER = 56  # px, the line with the instruction
FOOTER = 72  # px, the line with gate, reuse and milliseconds
_INK = (238, 240, 243)
_DIM = (150, 156, 166)
_PAPER = (22, 25, 31)
_ACTIVE = (255, 176, 46)
_SHADE = np.array([38, 62, 92], np.float32)  # what reused patches fade into
_BAR = (98, 122, 152)
_SHADE_WEIGHT = 0.6


@dataclass(frozen=True)
class Frame:
    """
    Hold one picture of the video.

    images: one uint8 RGB array [H, W, 3] per camera. active: bool [V] of the latest inference,
    camera-major raster order, None before the first. reuse: 0 to 1. milliseconds: observation to
    action of that inference. result: what became of the episode, '' while it runs.
    """

    images: tuple[np.ndarray, ...]
    instruction: str
    gate: str = ''
    active: np.ndarray | None = None
    reuse: float = 0.0
    milliseconds: float | None = None
    result: str = ''


def draw(frame: Frame) -> np.ndarray:
    """
    Draw a frame: instruction above, cameras side by side, figures below.

    Returns uint8 RGB [HEADER + CAMERA_SIZE + FOOTER, cameras * CAMERA_SIZE, 3].
    Raises ValueError if `active` does not divide into one square grid per camera.
    """
    cameras = len(frame.images)
    masks = _masks(frame.active, cameras)
    views = [_shade(image, mask) for image, mask in zip(frame.images, masks, strict=True)]
    width = cameras * CAMERA_SIZE
    canvas = Image.new('RGB', (width, HEADER + CAMERA_SIZE + FOOTER), _PAPER)
    canvas.paste(Image.fromarray(np.concatenate(views, axis=1)), (0, HEADER))
    pen = ImageDraw.Draw(canvas)
    font, small = _font(24), _font(18)
    pen.text((16, HEADER // 2), frame.instruction, _INK, font, anchor='lm')
    pen.text((width - 16, HEADER // 2), frame.result, _ACTIVE, font, anchor='rm')
    _draw_figures(pen, frame, width, small)
    return np.asarray(canvas)


def write_video(frames: Iterable[Frame], path: Path, fps: float) -> int:
    """
    Write frames as H.264 in yuv420p, which every browser plays; return how many there were.

    Raises ValueError if there is no frame: an empty file would look like a broken player.
    """
    sink = None
    count = 0
    try:
        for frame in frames:
            picture = draw(frame)
            if sink is None:
                sink = imageio_ffmpeg.write_frames(
                    str(path),
                    (picture.shape[1], picture.shape[0]),
                    fps=fps,
                    codec='libx264',
                    quality=None,
                    output_params=['-preset', 'veryfast', '-crf', '24', '-movflags', '+faststart'],
                    macro_block_size=8,
                    ffmpeg_log_level='error',
                )
                sink.send(None)  # the generator opens the file at its first send
            sink.send(np.ascontiguousarray(picture))
            count += 1
    finally:
        if sink is not None:
            sink.close()
    if not count:
        raise ValueError(f'no frame for {path}: expected at least one image of every camera')
    return count


def _masks(active: np.ndarray | None, cameras: int) -> list[np.ndarray | None]:
    if active is None:
        return [None] * cameras
    edge = round((len(active) / cameras) ** 0.5)
    if edge * edge * cameras != len(active):
        raise ValueError(
            f'cannot lay out {len(active)} tokens: expected a square grid per camera, '
            f'{cameras} cameras came'
        )
    return list(np.asarray(active, bool).reshape(cameras, edge, edge))


def _shade(image: np.ndarray, active: np.ndarray | None) -> np.ndarray:
    size = (CAMERA_SIZE, CAMERA_SIZE)
    view = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if active is None:
        return view
    mask = cv2.resize(active.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    reused = view * (1 - _SHADE_WEIGHT) + _SHADE * _SHADE_WEIGHT  # [H, W, 3]
    return np.where(mask[..., None] > 0, view, reused.astype(np.uint8))


def _draw_figures(
    pen: ImageDraw.ImageDraw, frame: Frame, width: int, font: ImageFont.FreeTypeFont
) -> None:
    line = HEADER + CAMERA_SIZE + FOOTER // 2
    pen.text((16, line), f'gate: {frame.gate}', _INK, font, anchor='lm')
    left, right = width // 4, width // 4 + 260
    pen.rounded_rectangle((left, line - 8, right, line + 8), 4, outline=_DIM)
    if frame.reuse > 0:
        end = left + max(8, round((right - left) * frame.reuse))
        pen.rounded_rectangle((left, line - 8, end, line + 8), 4, fill=_BAR)
    pen.text((right + 14, line), f'{frame.reuse:.0%} reused (shaded)', _INK, font, anchor='lm')
    if frame.milliseconds is not None:
        text = f'{frame.milliseconds:.0f} ms a step'
        pen.text((width - 16, line), text, _INK, font, anchor='rm')


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)  # ships with Pillow: no font package needed
