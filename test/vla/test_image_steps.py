# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Each step does what it says; test_libero_images.py compares them with TensorFlow's."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from PIL import Image
import pytest
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_steps import center_crop
from vla_cache_ros.vla.image_steps import lanczos3_resize
from vla_cache_ros.vla.image_steps import resize
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model


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


@given(st.integers(2, 40), st.floats(0.05, 0.99), st.integers(0, 99))
def test_a_centre_crop_samples_the_middle_evenly_from_corner_to_corner(size, share, seed):
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    begin = (1 - share**0.5) / 2 * (size - 1)
    places = np.linspace(begin, size - 1 - begin, size)
    pixels = np.arange(size)
    rows = [np.interp(places, pixels, image[:, x, c]) for x in range(size) for c in range(3)]
    rows = np.array(rows).reshape(size, 3, size)  # [x, c, y]
    wanted = [np.interp(places, pixels, rows[:, c, y]) for y in range(size) for c in range(3)]
    wanted = np.array(wanted).reshape(size, 3, size).transpose(0, 2, 1)
    off = np.abs(center_crop(image, share) - wanted * 255.5 / 255)
    assert off.max() < 1.01 and center_crop(image, share).shape == image.shape


@pytest.mark.parametrize('kernel', ['bicubic', 'lanczos3'])
@given(st.integers(8, 60), st.integers(8, 60))
def test_bars_keep_the_aspect_and_the_middle_square_keeps_the_middle(kernel, height, width):
    image = np.full((height, width, 3), 200, np.uint8)
    padded = resize(image, 'pad', kernel, 32)
    rows, columns = (padded > 0).any((1, 2)).nonzero()[0], (padded > 0).any((0, 2)).nonzero()[0]
    sides = np.array([len(rows), len(columns)])
    wanted = np.array([height, width]) * 32 / max(height, width)
    assert sides.max() == 32 and np.abs(sides - wanted).max() <= 1
    assert abs(rows[0] - (31 - rows[-1])) <= 1 and abs(columns[0] - (31 - columns[-1])) <= 1
    edge = abs(height - width) // 2  # outside of the middle
    (image[:edge] if height > width else image[:, :edge])[:] = 0
    assert (resize(image, 'crop', kernel, 32) == 200).all()


def test_a_picture_of_the_models_size_is_not_touched():
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    for mode in ('squash', 'pad', 'crop'):
        assert resize(image, mode, 'bicubic') is image


def test_squash_is_pils_bicubic_whatever_the_aspect():
    image = np.random.default_rng(0).integers(0, 256, (180, 320, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(resize(image, 'squash', 'bicubic'), wanted)


@pytest.mark.parametrize(
    ('degrees', 'corner'), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))]
)
def test_pictures_are_turned_clockwise(degrees, corner):
    image = np.zeros((224, 224, 3), np.uint8)
    image[0, 0] = 250
    assert (ImagePath(rotation=degrees)(image)[corner] == 250).all()


def test_a_path_is_kept_with_the_checkpoint_for_all_cameras_or_for_each(tmp_path):
    one, other = ImagePath(rotation=180, jpeg=True, center_crop=0.9), ImagePath()
    for paths in ((one,), (one, other), ()):
        images = replace(ImagePreprocessor.for_towers(tiny_config().towers), paths=paths)
        save_checkpoint(tmp_path, init_model(tiny_config()), tiny_statistics(), images=images)
        loaded = load_checkpoint(tmp_path, need_tokenizer=False).images
        assert loaded == images
        picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        seen = loaded.see([picture, picture])
        assert np.array_equal(seen[0], (paths or (other,))[0](picture))
        assert np.array_equal(seen[1], (paths or (other,))[-1](picture))
    assert 'image_path' not in (tmp_path / 'preprocessor_config.json').read_text()


def test_what_is_asked_for_goes_before_what_is_stated_camera_by_camera(tmp_path):
    stated = ImagePath(rotation=180, resize_filter='lanczos3', center_crop=0.9)
    images = replace(ImagePreprocessor.for_towers(tiny_config().towers), paths=(stated,))
    save_checkpoint(tmp_path, init_model(tiny_config()), tiny_statistics(), images=images)

    def loaded(**changes):
        return load_checkpoint(tmp_path, images=changes, need_tokenizer=False).images.paths

    assert loaded(center_crop=1.0) == (replace(stated, center_crop=1.0),) * 2
    turned = loaded(rotation=(90, 0), resize_mode='crop')
    assert turned == tuple(replace(stated, rotation=n, resize_mode='crop') for n in (90, 0))
    with pytest.raises(CheckpointError, match='rotation: expected one value, or 2, .*got 3'):
        loaded(rotation=(0, 0, 0))
