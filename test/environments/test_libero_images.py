# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO's image, action and state paths are the reference's (TensorFlow 2.15, OpenVLA-OFT)."""

import hashlib

import numpy as np
from paths import DATA
import pytest
from vla_cache_ros.environments.libero import axis_angle
from vla_cache_ros.environments.libero import command
from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.vla.image_steps import jpeg
from vla_cache_ros.vla.image_steps import lanczos3_resize

GOLDEN = DATA / 'goldens' / 'preproc' / 'libero.npz'
ONE_LEVEL = 0.0004  # share of the values that may differ by one level


@pytest.fixture(scope='module')
def golden():
    return dict(np.load(GOLDEN, allow_pickle=False))


def difference(found, expected):
    return np.abs(found.astype(int) - expected)


def test_jpeg_is_tensorflows_to_the_bit(golden):
    decoded = jpeg(golden['image'])
    assert hashlib.sha256(decoded.tobytes()).digest() == golden['jpeg_sha256'].tobytes()
    assert difference(decoded, golden['image']).max() > 8  # it does something


def test_resize_is_tensorflows(golden):
    resized = lanczos3_resize(jpeg(golden['image']), 224, 224)
    apart = difference(resized[: len(golden['resized']), :, 0], golden['resized'])
    assert apart.max() <= 1 and (apart > 0).mean() <= ONE_LEVEL


def test_the_whole_path_is_the_references_after_half_a_turn(golden):
    rendered = golden['image'][::-1, ::-1]
    apart = difference(IMAGE_PATH(rendered)[..., 0], golden['cropped'])
    assert apart.max() <= 1 and (apart > 0).mean() <= ONE_LEVEL
    resized = lanczos3_resize(jpeg(golden['image']), 224, 224)
    assert difference(resized[..., 0], golden['cropped']).max() > 50  # without the crop


def test_gripper_opens_and_closes_as_in_the_reference(golden):
    found = np.stack([command(action) for action in golden['action_in']])
    np.testing.assert_array_equal(found, golden['action_libero'])
    assert set(found[:, 6]) == {-1.0, 0.0, 1.0}


def test_quaternions_become_the_references_rotation_vectors(golden):
    found = np.stack([axis_angle(quaternion) for quaternion in golden['quat_in']])
    np.testing.assert_allclose(found, golden['axisangle_out'], atol=1e-12)
