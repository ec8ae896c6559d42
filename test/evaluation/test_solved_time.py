# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Seconds per solved task is what is counted by hand, and says where too little was solved."""

import numpy as np
import pytest
from vla_cache_ros.environments import libero
from vla_cache_ros.environments import simpler
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.evaluation.solved_time import seconds_per_solved
from vla_cache_ros.evaluation.solved_time import solved_ratio
from vla_cache_ros.evaluation.solved_time import solved_text
from vla_cache_ros.reports.statistics import bootstrap_sums


def test_the_time_of_failures_is_paid_by_what_succeeded():
    found = seconds_per_solved([(2.0, True), (4.0, True), (9.0, False)], inference=3.0)
    assert found['seconds_per_solved'] == pytest.approx(7.5)  # 15 s, two solved
    assert found['inference_per_solved'] == pytest.approx(1.5)
    low, high = found['seconds_per_solved_ci95']
    assert low == 2.0 and high is None  # three draws of the first; of the last, one in 27


def test_equal_episodes_have_no_spread_and_more_of_them_a_narrower_interval():
    assert seconds_per_solved([(3.0, True)] * 5, 0.0)['seconds_per_solved_ci95'] == [3.0, 3.0]
    few, many = (
        seconds_per_solved([(2.0, True), (4.0, True), (8.0, False)] * n, 0.0) for n in (10, 90)
    )
    assert few['seconds_per_solved'] == many['seconds_per_solved'] == pytest.approx(7.0)
    (low, high), (lower, higher) = (f['seconds_per_solved_ci95'] for f in (few, many))
    assert low < lower < 7.0 < higher < high


def test_nothing_is_said_where_nothing_was_solved():
    found = seconds_per_solved([(5.0, False)] * 3, 1.0)
    assert set(found.values()) == {None}
    assert solved_text(found['seconds_per_solved'], found['seconds_per_solved_ci95'], 1) == ''


def test_the_ratio_is_paired_so_what_both_share_cancels():
    dense = [(float(seconds), True) for seconds in range(1, 9)]
    half = [(seconds / 2, True) for seconds, _ in dense]
    found = solved_ratio(dense, half)
    assert (found['episodes'], found['ratio']) == (8, pytest.approx(0.5))
    assert found['ci95'] == pytest.approx([0.5, 0.5])


def test_a_quicker_policy_that_fails_more_often_is_the_slower_one():
    dense, quick = [(4.0, True)] * 4, [(2.0, True), (2.0, True), (6.0, False), (6.0, False)]
    found = solved_ratio(dense, quick)
    assert found['ratio'] == pytest.approx(2.0)  # 16 s for two against 16 s for four
    assert found['ci95'][0] == pytest.approx(0.5) and found['ci95'][1] is None


def test_a_ratio_needs_pairs_and_something_solved_on_both_sides():
    assert solved_ratio([], []) is None
    assert solved_ratio([(1.0, True)], [(1.0, False)]) is None
    assert solved_ratio([(1.0, False)], [(1.0, True)]) is None
    same = [(1.0, True), (2.0, False)]
    assert solved_ratio(same, same) == {'episodes': 2, 'ratio': 1.0, 'ci95': [None, None]}


def test_text_has_the_interval_and_says_where_it_has_no_end():
    assert solved_text(7.5, [2.0, 12.25], 2) == '7.50 (2.00 to 12.25)'
    assert solved_text(7.5, [2.0, None], 1) == '7.5 (2.0 to no bound)'


def test_bootstrap_of_sums_covers_a_known_ratio_and_repeats_itself():
    generator = np.random.default_rng(4)
    below = generator.uniform(1, 2, 400)
    rows = np.stack([3 * below + generator.normal(0, 0.3, 400), below], axis=1)
    found = bootstrap_sums(rows, np.divide, resamples=1000)
    value, low, high = found
    assert low < 3 < high and low < value < high and high - low < 0.1
    assert found == bootstrap_sums(rows, np.divide, resamples=1000)


@pytest.mark.parametrize('rows', [[], [1.0, 2.0], [(1.0, float('nan'))]])
def test_bootstrap_of_sums_refuses_what_is_no_table_of_numbers(rows):
    with pytest.raises(ValueError, match='bootstrap needs at least 1 row'):
        bootstrap_sums(rows, np.divide)


def test_every_environment_says_how_many_actions_a_second_takes():
    assert Tabletop.control_frequency == 10.0 and libero.Libero.control_frequency == 20.0
    bridge, cube = (
        simpler.SimplerEnvironment(twins, 'openvla') for twins in simpler.TWINS.values()
    )
    assert (bridge.control_frequency, cube.control_frequency) == (5.0, 20.0)
