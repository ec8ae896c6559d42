# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decode parts of MP4 files, straight through, with the ffmpeg of imageio-ffmpeg: H.264, AV1, others.

A part is decoded once as a check, before any of its pictures is used: so it is whole or refused.
Nothing but this file is opened, whatever it names. Knows no data set.
Source: frames are those of PyAV, which LeRobot uses, pixel for pixel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
import math
from pathlib import Path
import re
import subprocess
from tempfile import TemporaryFile

import imageio_ffmpeg
import numpy as np
from vla_cache_ros.control.sensing.compressed import MIN_SIDE
from vla_cache_ros.control.sensing.compressed import MOST_PIXELS

_SIZE = re.compile(r'#dimensions 0: (\d+)x(\d+)')
_BASE = re.compile(r'#tb 0: (\d+)/(\d+)')
_ORIGIN = re.compile(r'^\[[^\]]*\]\s*', re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """
    Say which frames of a file are meant: so many from a time on, s, at a rate.

    damaged: whether the file is, somewhere, so that what is damaged has to be left out.
    """

    path: Path
    begin: float
    count: int
    fps: float
    damaged: bool = False


def check_part(part: Part, height: int, width: int) -> Part:
    """
    Decode a part, throw the pictures away, and return how it is to be decoded.

    Raises ValueError, in one line that names the file: it is absent, damaged, too short, of
    another size, or its frames are not where the rate puts them.
    """
    if not part.path.is_file():
        raise ValueError(f'{part.path}: expected a video, there is none')
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f'{part.path}: expected pictures of at least {MIN_SIDE}x{MIN_SIDE} '
            f'pixels, got {width}x{height}'
        )
    whole = [*_command(part), '-enc_time_base', 'demux', '-f', 'framecrc', '-']
    done = _run([*whole[:1], '-xerror', *whole[1:]])
    if done.returncode:
        # ffmpeg reads ahead: what it stumbled over may lie behind the part
        part = replace(part, damaged=True)
        stumbled = _why(done.stderr)
        done = _run([*_command(part), '-enc_time_base', 'demux', '-f', 'framecrc', '-'])
    size, base = _SIZE.search(done.stdout), _BASE.search(done.stdout)
    rows = [row.split(',') for row in done.stdout.splitlines() if row and row[0] != '#']
    if len(rows) < part.count:
        raise ValueError(
            f'{part.path}: expected {part.count} frames from {part.begin:.2f} s on, got '
            f'{len(rows)}' + (f' ({stumbled})' if part.damaged else ': the video is short')
        )
    if size and (int(size[1]), int(size[2])) != (width, height):
        raise ValueError(
            f'{part.path}: expected pictures of {width}x{height} pixels as its data set says, got '
            f'{size[1]}x{size[2]}'
        )
    if size is None or base is None:
        raise ValueError(f'{part.path}: expected a video, got one without pictures')
    second = int(base[2]) / int(base[1])
    times = np.array([int(row[2]) for row in rows]) / second * part.fps  # frames
    off = np.abs(times - times[0] - np.arange(len(rows)))
    if off.max() >= 0.5 or not 0 <= times[0] < 1:
        frame = int(np.argmax(off >= 0.5)) if off.max() >= 0.5 else 0
        raise ValueError(
            f'{part.path}: expected a frame every {1 / part.fps:.4g} s from {part.begin:.2f} s '
            f'on, got another time at frame {frame}' + (f' ({stumbled})' if part.damaged else '')
        )
    return part


def _run(line: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(line, capture_output=True, text=True, errors='replace', check=False)


def pictures(
    part: Part, height: int, width: int, first: int = 0, stride: int = 1
) -> Iterator[np.ndarray]:
    """
    Yield every stride-th picture of a part from its first-th on, uint8 RGB [H, W, 3].

    Raises ValueError where it ends early, which `check_part` tells before.
    """
    wanted = max(0, math.ceil((part.count - first) / stride))
    chosen = f'select=gte(n\\,{first})*not(mod(n-{first}\\,{stride}))'
    line = [*_command(part, chosen, wanted), '-f', 'rawvideo', '-pix_fmt', 'rgb24', '-']
    size = height * width * 3
    with (
        TemporaryFile() as said,
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=said, bufsize=size) as process,
    ):
        try:
            for number in range(wanted):
                data = process.stdout.read(size)
                if len(data) < size:
                    process.wait()
                    said.seek(0)
                    why = _why(said.read(2000).decode(errors='replace'))
                    raise ValueError(
                        f'{part.path}: expected {wanted} pictures, got {number} ({why})'
                    )
                # a copy, which others may write to
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()
        finally:
            process.kill()


def _command(part: Part, chosen: str = '', count: int | None = None) -> list[str]:
    """Return the command as far as it is the same; chosen: a filter; count: pictures it gives."""
    # half a frame before: the first one that comes is the nearest to the time
    begin = max(0.0, part.begin - 0.5 / part.fps)
    return [
        imageio_ffmpeg.get_ffmpeg_exe(), '-hide_banner', '-nostdin', '-v', 'error',
        '-max_pixels', str(MOST_PIXELS),
        # nothing is patched up: a picture that is missing shows by the times of the others
        *(['-err_detect', 'explode'] if part.damaged else []),
        # a playlist under the name of a video would have other files opened
        '-protocol_whitelist', 'file', '-f', 'mov', '-noautorotate', '-ss', f'{begin:.6f}',
        '-i', f'file:{part.path}', '-map', '0:v:0', *(['-vf', chosen] if chosen else []),
        '-frames:v', str(part.count if count is None else count), '-fps_mode', 'passthrough',
    ]  # fmt: skip


def _why(said: str) -> str:
    """Return the first line of what ffmpeg said, without where in it."""
    lines = [' '.join(line.split()) for line in _ORIGIN.sub('', said).splitlines()]
    return next((line[:160] for line in lines if line), 'nothing is said why')
