# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The video shows both cameras, shades what was reused and plays."""

import imageio_ffmpeg
import numpy as np
import pytest
from vla_cache_ros.reports.video import CAMERA_SIZE
from vla_cache_ros.reports.video import draw
from vla_cache_ros.reports.video import Frame
from vla_cache_ros.reports.video import HEADER
from vla_cache_ros.reports.video import write_video

WHITE = np.full((224, 224, 3), 250, np.uint8)


def frame(active=None):
    return Frame((WHITE, WHITE), 'pick up the red cube', 'motion', active, 0.5, 12.0)


def test_only_reused_patches_are_shaded():
    active = np.ones(512, bool)
    active[0] = False  # first camera, top left
    active[511] = False  # second camera, bottom right
    picture = draw(frame(active))
    cameras = picture[HEADER : HEADER + CAMERA_SIZE]
    patch = CAMERA_SIZE // 16
    assert cameras[: patch - 1, : patch - 1].max() < 200
    assert cameras[1 - patch :, 1 - patch :].max() < 200
    assert cameras[patch + 1 :, : CAMERA_SIZE - patch].min() == 250


def test_frame_before_the_first_inference_is_not_shaded():
    picture = draw(frame())
    assert picture[HEADER : HEADER + CAMERA_SIZE].min() == 250


def test_tokens_that_fit_no_grid_are_refused():
    with pytest.raises(ValueError, match='500 tokens.*square grid per camera'):
        draw(frame(np.ones(500, bool)))


def test_video_is_h264_in_a_pixel_format_that_browsers_play(tmp_path):
    path = tmp_path / 'video.mp4'
    assert write_video((frame() for _ in range(12)), path, fps=10) == 12
    facts = next(imageio_ffmpeg.read_frames(str(path)))
    assert facts['codec'] == 'h264'
    assert facts['pix_fmt'].startswith('yuv420p')
    assert facts['size'] == (2 * CAMERA_SIZE, draw(frame()).shape[0])
    assert facts['duration'] == pytest.approx(1.2, abs=0.05)


def test_video_without_a_frame_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no frame'):
        write_video([], tmp_path / 'video.mp4', fps=10)
