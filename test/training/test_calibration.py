# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gate's requests come to the reuse that they ask for."""

from types import SimpleNamespace

import numpy as np
import pytest
from vla_cache_ros.training import calibration

RATIOS = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)


def staler(network, recordings, language, bias, first_share):
    """Return logits [500, 8] that fall the more, the more a gate reuses."""
    costs = np.random.default_rng(0).uniform(0.2, 0.8, (500, 1))
    return -costs * np.square(RATIOS) * (1 + 3 * np.tanh(max(bias, 0)))


def uneven(network, recordings, language, bias, first_share):
    """Return logits [500, 8] that rise and fall again with the bias, as those of few steps do."""
    return staler(None, None, {}, bias, 1.0) * (1 + 0.2 * np.sin(40 * min(bias, 20)))


@pytest.mark.parametrize(('walk', 'tolerance'), [(staler, 0.02), (uneven, 0.04)])
def test_a_request_comes_true_although_reuse_makes_tokens_stale(monkeypatch, walk, tolerance):
    monkeypatch.setattr(calibration, 'walk', walk)
    network = SimpleNamespace(config=SimpleNamespace(ratios=RATIOS))
    found = calibration.calibrate(network, None, {})
    assert list(found.values()) == sorted(found.values())
    for request, bias in found.items():
        logits = walk(None, None, {}, bias, 1.0)
        reuse = calibration.chosen(logits, np.array(RATIOS), bias).mean()
        assert reuse == pytest.approx(request, abs=tolerance)
