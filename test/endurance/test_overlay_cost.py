# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drill of the overlays tells a slower inference from one that is not."""

import numpy as np
from overlay_cost import compare
from overlay_cost import LARGEST_RATIO
import pytest

TIMES = np.linspace(10.0, 20.0, 101)


@pytest.mark.parametrize(
    ('on', 'ok'),
    [
        (TIMES * (LARGEST_RATIO - 0.001), True),
        (TIMES * (LARGEST_RATIO + 0.001), False),
        (np.where(TIMES > 19, 2 * TIMES, TIMES), False),  # at p95 alone
    ],
)
def test_slower_median_or_tail_is_told(on, ok):
    figures = compare(TIMES, on)
    assert figures['ok'] == ok
    assert figures['off']['p50'] == 15 and figures['inferences'] == {'off': 101, 'on': 101}
