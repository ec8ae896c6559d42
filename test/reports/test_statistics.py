# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the statistics to published values and to their defining properties."""

import json
import math
import re

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.reports.hardware import commit
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.reports.statistics import mcnemar
from vla_cache_ros.reports.statistics import paired_bootstrap_difference
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.statistics import wilson_interval


def test_wilson_agrees_with_published_values():
    # 8 of 10 -> [0.4902, 0.9433]; 170 of 200 -> [0.7939, 0.8929] (Wilson score, no correction)
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(170, 200) == pytest.approx((0.7939, 0.8929), abs=2e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_contains_the_share_and_stays_inside_unit_range(case):
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_mirrors_when_successes_and_failures_swap(case):
    successes, trials = case
    low, high = wilson_interval(successes, trials)
    mirrored = wilson_interval(trials - successes, trials)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]))


@pytest.mark.parametrize('successes, trials', [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match='got'):
        wilson_interval(successes, trials)


def test_bootstrap_is_narrow_where_pairs_agree_and_wide_where_they_do_not():
    shared = np.random.default_rng(1).integers(0, 2, 200)
    other = np.random.default_rng(2).permutation(shared)
    same = paired_bootstrap_difference(shared, shared, resamples=500)
    unpaired = paired_bootstrap_difference(shared, other, resamples=500)
    assert same == (0.0, 0.0, 0.0)
    assert unpaired[1] < unpaired[0] < unpaired[2]


def test_bootstrap_covers_a_known_difference_and_repeats_itself():
    generator = np.random.default_rng(3)
    base = generator.normal(0, 1, 300)
    raised = base + 0.5 + generator.normal(0, 0.1, 300)
    first = paired_bootstrap_difference(raised, base, resamples=1000)
    assert first[1] < 0.5 < first[2]
    # 1.96 * 0.1 / sqrt(300) * 2: the bootstrap width is that of a mean of 300 differences
    assert first[2] - first[1] == pytest.approx(0.0226, rel=0.25)
    assert first == paired_bootstrap_difference(raised, base, resamples=1000)


@pytest.mark.parametrize('first, second', [([], []), ([1], [1, 0]), ([math.nan], [0])])
def test_bootstrap_refuses_what_is_not_paired(first, second):
    with pytest.raises(ValueError, match='got'):
        paired_bootstrap_difference(first, second)


def test_mcnemar_agrees_with_the_binomial_by_hand():
    # 1 against 8 discordant pairs: p = 2 * (C(9,0) + C(9,1)) / 2^9 = 20 / 512
    first = [True] * 1 + [False] * 8 + [True] * 20
    second = [False] * 1 + [True] * 8 + [True] * 20
    assert mcnemar(first, second) == (1, 8, pytest.approx(20 / 512))
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_a_probability_and_symmetric(pairs):
    first, second = zip(*pairs, strict=True)
    b, c, p = mcnemar(first, second)
    assert 0 < p <= 1
    assert mcnemar(second, first) == (c, b, p)


def test_percentiles_interpolate_and_an_unmeasured_stage_is_not_free():
    assert percentiles(range(101)) == {'p50': 50.0, 'p95': 95.0}
    assert all(math.isnan(value) for value in percentiles([]).values())


def test_machine_facts_are_plain_json_and_name_no_host():
    text = json.dumps({'hardware': hardware(), 'versions': versions()})
    import socket

    assert hardware()['cores'] >= 1
    assert 'torch' in versions()
    assert socket.gethostname() not in text


def test_figures_carry_the_commit_of_their_checkout():
    found = commit()
    assert found is None or re.fullmatch('[0-9a-f]{12}(-dirty)?', found)
    assert versions().get('commit') == found
