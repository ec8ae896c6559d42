# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the planes that the learned gate sees to what they promise."""

import cv2
import numpy as np
import pytest
from scenery import view
from vla_cache_ros.caching.gates.flow import OpticalFlow
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.patches import unpatchify

ONES = np.ones(512, dtype=np.int64)


def interior(plane):
    """Return the median away from the borders, where nothing enters or leaves the image."""
    return float(np.median(plane[20:-20, 20:-20]))


@pytest.mark.parametrize('shape', [(1, 224, 224), (3, 224, 224), (2, 28, 42)])
def test_unpatchify_is_the_inverse_of_patchify(shape):
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.array_equal(unpatchify(patchify(images), *shape[1:]), images)


@pytest.mark.parametrize('tokens, side', [(255, 224), (256, 220)])
def test_patches_that_fill_no_whole_image_are_refused(tokens, side):
    with pytest.raises(ValueError, match=f'{tokens} patches do not fill {side}x{side}'):
        unpatchify(np.zeros((tokens, 588), np.uint8), side, side)


def test_colour_is_the_area_average_between_minus_one_and_one():
    frame = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    frame[0, :14, :14], frame[1, :14, :14] = 0, 255
    planes = MotionInput()(frame, patchify(frame), ONES)
    assert planes.shape == (2, 7, 112, 112) and planes.dtype == np.float32
    mean = frame.reshape(2, 112, 2, 112, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2)
    assert planes[:, :3] == pytest.approx(mean / 127.5 - 1, abs=0.5 / 127.5 + 1e-6)
    assert (planes[0, :3, :7, :7] == -1).all() and (planes[1, :3, :7, :7] == 1).all()


@pytest.mark.parametrize('right, down', [(6, 0), (-6, 0), (0, 6), (4, -6)])
def test_flow_of_a_shifted_image_has_the_sign_and_size_of_the_shift(right, down):
    motion = MotionInput()
    motion(view(), patchify(view()), ONES)
    planes = motion(view(right, down), patchify(view()), ONES)
    for camera in (0, 1):  # half the size, then an eighth
        assert interior(planes[camera, 3]) == pytest.approx(right / 16, abs=0.03)
        assert interior(planes[camera, 4]) == pytest.approx(down / 16, abs=0.03)
    assert not motion.cut


def test_flow_is_in_pixels_right_and_down():
    before, after = (cv2.cvtColor(view(x, y)[0], cv2.COLOR_RGB2GRAY) for x, y in ((0, 0), (5, 3)))
    estimate = OpticalFlow()
    flow = estimate(before, after)
    assert flow.shape == (224, 224, 2) and flow.dtype == np.float32
    assert interior(flow[..., 0]) == pytest.approx(5, abs=0.5)
    assert interior(flow[..., 1]) == pytest.approx(3, abs=0.5)
    estimate(after, before[:112, :112].repeat(2, 0).repeat(2, 1))
    assert np.array_equal(estimate(before, after), flow)  # whatever came before


def test_flow_is_clipped_where_motion_is_fast():
    motion = MotionInput()
    motion.remember(view())
    planes = motion(view(28, 0), patchify(view()), ONES)
    assert np.abs(planes[:, 3:5]).max() == 1


def test_there_is_no_flow_without_a_previous_frame():
    motion = MotionInput()
    moved = view(6, 0)

    def flow(pixels):
        count = len(pixels)
        return motion(pixels, patchify(pixels), np.ones(256 * count, int))[:, 3:5]

    assert not flow(view()).any()
    assert flow(moved).any()
    motion.reset()
    assert not flow(view()).any()
    assert not flow(moved[:1]).any()  # another number of cameras
    motion.remember(view()[:1])
    assert flow(moved[:1]).any()


def test_a_still_image_has_no_flow_and_no_difference():
    motion = MotionInput()
    motion.remember(view())
    planes = motion(view(), patchify(view()), ONES)
    assert np.abs(planes[:, 3:5]).max() < 0.01 and not planes[:, 5].any()


def test_a_cut_is_told_and_has_no_flow_in_the_camera_that_it_happened_in():
    motion = MotionInput()
    motion.remember(view())
    cut = view(6, 0)
    cut[1] = 255 * (cut[1] < 128)
    planes = motion(cut, patchify(view()), ONES)
    assert motion.cut and planes[0, 3].any() and not planes[1, 3:5].any()
    planes = motion(cut, patchify(view()), ONES)
    assert not motion.cut


def test_difference_follows_the_producing_pixels_and_not_the_last_frame():
    motion, frame = MotionInput(), np.full((2, 224, 224, 3), 100, np.uint8)
    reference = patchify(frame)
    reference[256 + 3 * 16 + 5] -= 16  # second camera, row 3, column 5: darker when produced
    reference[7] += 80
    motion.remember(frame)
    plane = motion(frame, reference, ONES)[:, 5]
    expected = np.zeros((2, 112, 112))
    expected[1, 21:28, 35:42] = 16 / 32
    expected[0, :7, 49:56] = 1  # clipped
    assert plane == pytest.approx(expected, abs=1e-6)


def test_difference_is_the_mean_over_pixels_and_colours():
    frame = np.full((2, 224, 224, 3), 100, np.uint8)
    reference = frame.copy()
    reference[0, 0, 0] = (112, 100, 76)  # one of four pixels: (12 + 0 + 24) / 12
    plane = MotionInput()(frame, patchify(reference), ONES)[:, 5]
    assert plane[0, 0, 0] == pytest.approx(3 / 32) and np.count_nonzero(plane) == 1


def test_age_fills_the_patch_of_its_token():
    ages = ONES.copy()
    ages[[0, 17, 256 + 255]] = 12, 24, 60
    plane = MotionInput()(view(), patchify(view()), ages)[:, 6]
    expected = np.full((2, 112, 112), 1 / 24)
    expected[0, :7, :7], expected[0, 7:14, 7:14], expected[1, -7:, -7:] = 0.5, 1, 1
    assert plane == pytest.approx(expected, abs=1e-6)


def test_equal_episodes_give_equal_planes():
    def episode(motion):
        frames = [view(3 * i, -2 * i) for i in range(4)]
        return np.stack([motion(frame, patchify(frames[0]), ONES) for frame in frames])

    motion = MotionInput()
    first = episode(motion)
    motion.reset()
    assert np.array_equal(first, episode(motion))
    assert np.array_equal(first, episode(MotionInput()))
