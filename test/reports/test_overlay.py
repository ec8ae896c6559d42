# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay shades the patches that were reused, the older the darker, and no other."""

import numpy as np
import pytest
from vla_cache_ros.overlay import ACCENT
from vla_cache_ros.overlay import draw_overlay
from vla_cache_ros.overlay import fades
from vla_cache_ros.overlay import FRESH
from vla_cache_ros.overlay import grids
from vla_cache_ros.overlay import LINE
from vla_cache_ros.overlay import OLD
from vla_cache_ros.overlay import SHADE
from vla_cache_ros.overlay import shade
from vla_cache_ros.overlay import SIZE
from vla_cache_ros.overlay import STALE

WHITE = np.full((224, 224, 3), 250, np.uint8)
PATCH = SIZE // 16


@pytest.mark.parametrize(('age', 'fade'), [(0, 0.0), (1, FRESH), (OLD, STALE), (99, STALE)])
def test_token_is_faded_by_its_age(age, fade):
    assert fades(np.array([age])) == pytest.approx(fade)


def test_patch_takes_exactly_its_square_and_the_colour_of_its_fade():
    fade = np.zeros((16, 16))
    fade[3, 5], fade[15, 15] = 0.5, 1.0
    picture = shade(WHITE, fade, SIZE)
    expected = np.full((SIZE, SIZE, 3), 250)
    expected[3 * PATCH : 4 * PATCH, 5 * PATCH : 6 * PATCH] = (250 + np.array(SHADE)) / 2
    expected[15 * PATCH :, 15 * PATCH :] = SHADE
    assert np.abs(picture.astype(int) - expected).max() <= 1


def test_tokens_are_laid_out_camera_after_camera_row_by_row():
    laid = grids(np.arange(512), 2)
    assert laid[0, 0, 1] == 1 and laid[0, 1, 0] == 16 and laid[1, 15, 15] == 511


def test_text_stands_below_the_picture_and_fits_however_long():
    picture = draw_overlay(WHITE, None, ['step 3', 'all recomputed: ' + 60 * 'x'])
    assert picture.shape == (SIZE + 2 * LINE, SIZE, 3)
    assert picture[:SIZE].min() == 250
    for line in (picture[SIZE : SIZE + LINE], picture[SIZE + LINE :]):
        lit = np.flatnonzero((line > 100).any((0, 2)))
        assert lit[0] >= 4 and SIZE - 4 > lit[-1]


def test_alarm_frames_the_picture_and_stresses_the_last_line():
    picture = draw_overlay(WHITE, None, ['step 3', 'stopped: stale_image'], alarm=True)
    stressed = picture[..., 0] > picture[..., 2].astype(int) + 60
    assert (picture[1] == ACCENT).all() and not stressed[20 : SIZE - 20, 20:-20].any()
    assert stressed[SIZE + LINE :].any() and not stressed[SIZE : SIZE + LINE].any()
