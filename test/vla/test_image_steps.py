# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Lanczos resize keeps what it must; test_libero_images.py compares it with TensorFlow's."""

import numpy as np
import pytest
from vla_cache_ros.vla.image_steps import lanczos3_resize


def test_channels_are_apart_and_a_flat_image_stays_flat():
    image = np.zeros((480, 640, 3), np.uint8)
    image[..., 1] = 255
    image[..., 2] = 77
    resized = lanczos3_resize(image, 224, 224)
    assert resized.shape == (224, 224, 3)
    assert (resized == [0, 255, 77]).all()


def test_each_direction_is_resized_by_itself():
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 1), np.uint8)
    wide = lanczos3_resize(image, 40, 21).astype(int)
    turned = lanczos3_resize(image.transpose(1, 0, 2), 21, 40).astype(int)
    assert np.abs(wide - turned.transpose(1, 0, 2)).max() <= 1


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
