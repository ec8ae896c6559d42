# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The long-episode check compares the right ends and refuses runs too short to have two."""

import numpy as np
import pytest
from vla_cache_ros.evaluation.steady import ends
from vla_cache_ros.evaluation.steady import resident_mib
from vla_cache_ros.evaluation.steady import run_steady


def test_ends_leave_the_warm_up_out_and_see_growth():
    values = np.concatenate([np.full(50, 99.0), np.full(450, 2.0), np.full(500, 3.0)])
    assert ends(values) == {'first': 2.0, 'last': 3.0, 'ratio': 1.5}


def test_resident_memory_grows_with_what_is_held():
    before = resident_mib()
    held = np.ones(2**24)  # 128 MiB
    assert 100 < resident_mib() - before < 160 and held[0] == 1


def test_a_run_without_two_ends_is_refused():
    with pytest.raises(ValueError, match='at least 1000, got 999'):
        run_steady('tabletop', 'dense', None, 999, 0)
