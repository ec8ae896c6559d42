# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Encode the pictures of one camera as H.264, with the ffmpeg of imageio-ffmpeg.

A key frame every second frame, so that any can be found quickly, as LeRobot encodes. Knows no
episodes.
"""

from pathlib import Path
import subprocess
from tempfile import TemporaryFile

import imageio_ffmpeg
import numpy as np

CODEC, PIXELS, GROUP, CRF = 'h264', 'yuv420p', 2, 18


def video_info(height: int, width: int, fps: int, crf: int) -> dict:
    """Return what `info.json` says of such a video."""
    return {
        'video.height': height,
        'video.width': width,
        'video.codec': CODEC,
        'video.pix_fmt': PIXELS,
        'video.fps': fps,
        'video.channels': 3,
        'has_audio': False,
        'video.g': GROUP,
        'video.crf': crf,
        'is_depth_map': False,
    }


def check_sides(camera: str, height: int, width: int) -> None:
    """Raise ValueError for sides that the format cannot have."""
    if height % 2 or width % 2:
        raise ValueError(
            f'{camera}: expected pictures with even sides for H.264, got {width}x{height}; store '
            'them with --images png'
        )


class VideoFile:
    """A video that is being written; frames: how many were."""

    def __init__(self, path: Path, height: int, width: int, fps: int, crf: int):
        """Start the encoder, for sides that `check_sides` lets pass."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.frames = path, 0
        self._size = height, width, 3
        line = [
            imageio_ffmpeg.get_ffmpeg_exe(), '-y', '-loglevel', 'error',
            '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', f'{width}x{height}', '-r', str(fps),
            '-i', '-', '-an', '-c:v', 'libx264', '-pix_fmt', PIXELS, '-g', str(GROUP),
            '-crf', str(crf), '-movflags', '+faststart', str(path),
        ]  # fmt: skip
        self._said = TemporaryFile()
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stderr=self._said)

    def add(self, picture: np.ndarray) -> None:
        """Encode a picture uint8 [H, W, 3]; raises OSError where the encoder has given up."""
        if picture.shape != self._size:
            raise ValueError(f'expected a picture {self._size}, got {picture.shape}')
        try:
            self._process.stdin.write(np.ascontiguousarray(picture).data)
        except BrokenPipeError:
            self._fail()
        self.frames += 1

    @property
    def bytes(self) -> int:  # noqa: A003
        """Return how large the file is by now."""
        return self.path.stat().st_size if self.path.exists() else 0

    def close(self) -> None:
        """Write the file to its end; raises OSError if that did not work."""
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            self._fail()
        if self._process.wait():
            self._fail()
        self._said.close()

    def abort(self) -> None:
        """End the encoder, whatever becomes of the file."""
        self._process.kill()
        self._process.wait()
        self._said.close()

    def _fail(self) -> None:
        code = self._process.wait()
        self._said.seek(0)
        text = ' '.join(self._said.read(2000).decode(errors='replace').split())
        raise OSError(f'{self.path}: expected a video, ffmpeg ended with {code}: {text}')
