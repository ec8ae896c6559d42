# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Lanczos resize is TensorFlow's, on images that shrink in both or in one direction."""

from pathlib import Path

import numpy as np
import pytest
from vla_cache_ros.benchmarks.lanczos import lanczos3_resize

# one channel of JPEG-decoded images and of what TensorFlow 2.15 made of them
GOLDEN = Path(__file__).parent / 'data' / 'goldens' / 'preproc' / 'lanczos.npz'


@pytest.mark.parametrize('name', ['libero256', 'wide'])
def test_resize_is_tensorflows(name):
    golden = np.load(GOLDEN, allow_pickle=False)
    expected = golden[f'{name}_out']
    difference = np.abs(lanczos3_resize(golden[f'{name}_in'], 224, 224) - expected.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.0004


def test_channels_are_apart_and_a_flat_image_stays_flat():
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 1] = 255
    image[..., 2] = 77
    resized = lanczos3_resize(image, 224, 224)
    assert resized.shape == (224, 224, 3)
    assert (resized == [0, 255, 77]).all()


def test_an_image_of_the_right_size_is_returned_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    assert np.array_equal(lanczos3_resize(image, 9, 7), image)


@pytest.mark.parametrize(
    'image', [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_another_image_is_refused(image):
    with pytest.raises(ValueError, match='expected uint8'):
        lanczos3_resize(image, 2, 2)


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match='at least 1 x 1, got 0 x 2'):
        lanczos3_resize(np.zeros((4, 4, 3), np.uint8), 0, 2)
