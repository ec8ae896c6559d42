# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Gates are compared on the same seeds, by turns, and differences have the right sign."""

import pytest
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.compare import paired
from vla_cache_ros.evaluation.compare import run_compare
from vla_cache_ros.evaluation.compare import table


def episode(seed, success, total):
    """Return an episode of two inferences of so many ms."""
    return Episode(seed, 'pick', success, 8, (0.0, 0.5), ({'total': total},) * 2, ('', ''))


def test_a_worse_and_faster_gate_has_a_negative_difference_and_a_ratio_below_one():
    reference = [episode(s, True, 40.0) for s in range(20)]
    other = [episode(s, s >= 10, 20.0) for s in range(20)]
    figures = paired(reference, other)
    low, high = figures['success_difference_ci95']
    assert figures['success_difference'] == -0.5 and low < -0.5 < high < 0
    assert figures['mcnemar_p'] == pytest.approx(2 / 2**10)
    assert figures['latency_ratio'] == {'p50': 0.5, 'p95': 0.5}


def test_the_table_has_a_row_per_gate_and_names_the_difference():
    runs = {'dense': [episode(0, True, 40.0)] * 4, 'motion': [episode(0, True, 30.0)] * 4}
    figures = {
        'gates': {name: summarize(run, name) for name, run in runs.items()},
        'paired': {'motion': paired(runs['dense'], runs['motion'])},
    }
    rows = table(figures).splitlines()
    assert len(rows) == 4 and '0.75' in rows[3] and '+0.0' in rows[3]


def test_one_gate_alone_is_refused():
    with pytest.raises(ValueError, match='at least 2'):
        run_compare('tabletop', ['dense'], 0.5, 1, 0)
