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

import imageio_ffmpeg
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont
from vla_cache_ros.overlay import ACCENT
from vla_cache_ros.overlay import FADE
from vla_cache_ros.overlay import grids
from vla_cache_ros.overlay import INK
from vla_cache_ros.overlay import PAPER
from vla_cache_ros.overlay import shade

CAMERA_SIZE = 448  # px, edge of one camera's square in the video
HEADER = 56  # px, the line with the instruction
FOOTER = 72  # px, the line with gate, reuse and milliseconds
DIM = (150, 156, 166)
BAR = (98, 122, 152)


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

    Returns uint8 RGB [HEADER + CAMERA_SIZE + FOOTER, cameras * CAMERA_SIZE, 3], as wide for one
    camera as for two, since instruction and figures need the room.
    Raises ValueError if `active` does not divide into one square grid per camera.
    """
    cameras = len(frame.images)
    fades = [None] * cameras
    if frame.active is not None:
        fades = grids(FADE * ~frame.active, cameras)
    views = [
        shade(image, fade, CAMERA_SIZE) for image, fade in zip(frame.images, fades, strict=True)
    ]
    width = max(cameras, 2) * CAMERA_SIZE
    canvas = Image.new('RGB', (width, HEADER + CAMERA_SIZE + FOOTER), PAPER)
    left = (width - cameras * CAMERA_SIZE) // 2
    canvas.paste(Image.fromarray(np.concatenate(views, axis=1)), (left, HEADER))
    pen = ImageDraw.Draw(canvas)
    font, small = typeface(24), typeface(18)
    pen.text((16, HEADER // 2), frame.instruction, INK, font, anchor='lm')
    pen.text((width - 16, HEADER // 2), frame.result, ACCENT, font, anchor='rm')
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


def _draw_figures(
    pen: ImageDraw.ImageDraw, frame: Frame, width: int, font: ImageFont.FreeTypeFont
) -> None:
    line = HEADER + CAMERA_SIZE + FOOTER // 2
    pen.text((16, line), f'gate: {frame.gate}', INK, font, anchor='lm')
    left, right = width // 4, width // 4 + 260
    pen.rounded_rectangle((left, line - 8, right, line + 8), 4, outline=DIM)
    if frame.reuse > 0:
        end = left + max(8, round((right - left) * frame.reuse))
        pen.rounded_rectangle((left, line - 8, end, line + 8), 4, fill=BAR)
    pen.text((right + 14, line), f'{frame.reuse:.0%} reused (shaded)', INK, font, anchor='lm')
    if frame.milliseconds is not None:
        text = f'{frame.milliseconds:.0f} ms a step'
        pen.text((width - 16, line), text, INK, font, anchor='rm')


def typeface(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of everything that is drawn, at a size in px."""
    return ImageFont.load_default(size)  # ships with Pillow: no font package needed
