# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures keep their aspect in a square whose bars lie where LeRobot puts them."""

import numpy as np
import pytest
import torch
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.lerobot.letterbox import Letterbox
from vla_cache_ros.vla.lerobot.letterbox import LetterboxPath

SMOLVLA = Letterbox((LetterboxPath(512, corner=True),), 112)
PI = Letterbox((LetterboxPath(224, corner=False),), 224)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def white(values):
    """Return which rows and columns `[H]`, `[W]` of pixel values hold a picture."""
    plane = values[0, 0] > -1
    return plane.any(1), plane.any(0)


def test_smolvlas_bars_lie_above_and_left_and_pis_on_both_sides():
    wide, tall = np.full((480, 640, 3), 255, np.uint8), np.full((640, 480, 3), 255, np.uint8)
    rows, columns = white(SMOLVLA.normalize(SMOLVLA.see([wide]), [wide]))
    assert not rows[:128].any() and rows[128:].all() and columns.all()
    rows, columns = white(SMOLVLA.normalize(SMOLVLA.see([tall]), [tall]))
    assert not columns[:128].any() and columns[128:].all() and rows.all()
    rows, columns = white(PI.normalize(PI.see([wide]), [wide]))
    assert rows[28:196].all() and not rows[:28].any() and not rows[196:].any() and columns.all()


def test_an_odd_bar_is_larger_below_and_right():
    image = np.full((223, 448, 3), 255, np.uint8)  # becomes 111 of 224
    rows, _ = white(PI.normalize(PI.see([image]), [image]))
    assert rows.nonzero()[0].item() == 56 and rows.nonzero()[-1].item() == 166
    image = np.full((448, 223, 3), 255, np.uint8)
    _, columns = white(PI.normalize(PI.see([image]), [image]))
    assert columns.nonzero()[0].item() == 56 and columns.nonzero()[-1].item() == 166


@pytest.mark.parametrize('box', [SMOLVLA, PI])
def test_a_square_of_its_size_is_not_resampled(box):
    image = picture(box.size, box.size)
    values = box.normalize(box.see([image]), [image])
    exact = torch.from_numpy(image).permute(2, 0, 1).float() / 255 * 2 - 1
    assert torch.equal(values[0], exact)


def test_sampling_is_bilinear_without_antialiasing():
    """Of every second pixel's neighbours the mean, of a fourfold one the middle two's alone."""
    image = np.zeros((896, 896, 3), np.uint8)
    image[:, 1::4] = 200
    image[:, 0::4] = 99  # lies between no two samples
    values = PI.normalize(PI.see([image]), [image])
    assert (values[0] + 1) / 2 == pytest.approx(torch.full((3, 224, 224), 100 / 255), abs=1e-6)


def test_a_gate_sees_the_same_square_smaller_for_smolvla():
    wide = picture(480, 640)
    seen, square = SMOLVLA.see([wide]), SMOLVLA.paths[0](wide)
    assert seen.shape == (1, 112, 112, 3) and square.shape == (512, 512, 3)
    assert seen[0, :28].max() == 0 and seen[0, 28:].min() > 0
    means = square.reshape(8, 64, 8, 64, 3).mean((1, 3))
    cells = seen[0].reshape(8, 14, 8, 14, 3).mean((1, 3))
    assert np.abs(means - cells).max() < 0.6  # a token's own pixels, none of its neighbours'
    pi = PI.see([wide])
    assert pi.shape == (1, 224, 224, 3) and pi.dtype == np.uint8
    exact = (PI.normalize(pi, [wide])[0] + 1) / 2 * 255
    assert np.abs(exact.permute(1, 2, 0).numpy() - pi[0]).max() <= 0.501


@pytest.mark.parametrize('box', [SMOLVLA, PI])
def test_recorded_squares_are_seen_as_the_pictures_were(box):
    wide = picture(90, 120)
    turned = box.for_cameras(1, {'rotation': 90})
    square = turned.walked[0](wide)
    later = turned.as_seen()
    assert np.array_equal(later.see([square]), turned.see([wide]))
    close = later.normalize(np.stack([square])), turned.normalize(turned.see([wide]), [wide])
    assert (close[0] - close[1]).abs().max() <= 1.01 / 255
    if box.seen != box.size:
        with pytest.raises(ValueError, match='pixels: expected squares of 512, or images'):
            box.normalize(box.see([wide]))


def test_a_camera_is_turned_before_its_picture_is_fitted():
    wide = picture(90, 120)
    box = PI.for_cameras(2, {'rotation': [0, 90]})
    clockwise = np.rot90(wide, -1)
    both = box.normalize(box.see([wide, wide]), [wide, wide])
    plain = PI.normalize(PI.see([wide, clockwise]), [wide, clockwise])
    assert torch.equal(both, plain) and both.shape == (1, 6, 224, 224)
    assert str(box) == (
        'camera 0: letterbox to 224 (bilinear, bars on both sides); camera 1: turned by 90 '
        'degrees, letterbox to 224 (bilinear, bars on both sides)'
    )


def test_the_thinnest_picture_keeps_a_row():
    assert PI.see([picture(1, 1000)]).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'resize_mode': 'pad'}, 'resize_mode: expected rotation alone'),
        ({'center_crop': 0.9, 'resize_filter': 'bicubic'}, 'center_crop, resize_filter: expected'),
        ({'rotation': 45}, 'rotation: expected 0, 90, 180, 270, found 45'),
        ({'rotation': [0, 90, 0]}, 'rotation: expected one value, or 2'),
    ],
)
def test_other_image_paths_are_refused(changes, text):
    with pytest.raises(CheckpointError, match=text):
        PI.for_cameras(2, changes)
