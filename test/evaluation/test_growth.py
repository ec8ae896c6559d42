# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Growth is measured on what grows: rows with cameras, windows with the length of an episode."""

from bench_samples import observe
import numpy as np
import pytest
from vla_cache_ros.evaluation.bench.growth import draw_growth
from vla_cache_ros.evaluation.bench.growth import grow_cameras
from vla_cache_ros.evaluation.bench.growth import grow_episode


@pytest.fixture(scope='module')
def figures():
    episode = [observe(seed) for seed in range(3)]
    cameras = grow_cameras((1, 3), episode[:1], [episode])
    return {'cameras': cameras, 'episode': grow_episode(12, episode)}


def test_rows_grow_with_cameras_and_shrink_with_reuse(figures):
    rows = {(row['cameras'], row['variant']): row for row in figures['cameras']}
    # 34 text, 56 actions, bos, proprio, stop
    assert rows[1, 'dense captured']['rows'] == 256 + 93
    assert rows[3, 'dense captured']['rows'] == 768 + 93
    cached = rows[3, 'learned-fixed 70 %']
    assert cached['rows'] == pytest.approx(93 + round(0.3 * 768))
    assert cached['reuse'] == pytest.approx(0.7, abs=0.01)
    assert all(row['total_ms']['p50'] > 0 for row in rows.values())


def test_a_window_is_the_last_half_up_to_its_end(figures):
    windows = figures['episode']['windows']
    assert [(window['first'], window['last']) for window in windows] == [(6, 10)]
    window = windows[0]
    assert window['ratio'] == pytest.approx(window['total_ms']['p50'] / window['dense_ms'])
    assert 0 < figures['episode']['oldest_token'] <= 24


def test_the_plot_shows_both(figures):
    left, right = draw_growth(figures).axes
    drawn = [line.get_xdata() for line in left.lines]
    np.testing.assert_allclose(drawn, [[349, 861], [170, 323]])
    assert list(right.lines[0].get_xdata()) == [10]
