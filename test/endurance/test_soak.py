# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The soak finds commands that break a promise and whatever grows, and runs to its end."""

import csv
import json

from command_checks import Bounds
from command_checks import CommandChecks
import numpy as np
import pytest
from soak import run_soak
from soak_figures import flatness
from tiny_model import write_checkpoint

MS = 1_000_000
BOUNDS = Bounds(0.4, 0.9, 50.0, 100.0)


def twist(x=0.0, turn=0.0):
    return np.array([x, 0.0, 0.0, 0.0, 0.0, turn])


@pytest.fixture
def checks():
    return CommandChecks(BOUNDS, publish_rate=100.0)


def test_commands_within_their_bounds_are_counted_only(checks):
    for index, x in enumerate((0.0, 0.4, -0.4, 0.0)):
        checks.twist((index + 1) * 10 * MS, twist(x, 0.9))
    checks.gripper([0.0])
    checks.gripper([1.0])
    assert checks.checked == {'twists': 4, 'grippers': 2}
    assert not checks.violations


@pytest.mark.parametrize(
    ('command', 'violation'),
    [
        (twist(np.nan), 'twist_not_finite'),
        (twist(0.0, np.inf), 'twist_not_finite'),
        (twist(0.41), 'linear_velocity'),
        (twist(0.1, -0.91), 'angular_velocity'),
    ],
)
def test_twist_that_is_not_finite_or_too_fast_is_a_violation(checks, command, violation):
    checks.twist(10 * MS, command)
    assert checks.violations == {violation: 1}


def test_twist_that_changes_too_fast_is_a_violation_but_a_stop_is_not():
    checks = CommandChecks(Bounds(0.4, 0.9, 10.0, 100.0), publish_rate=100.0)
    checks.twist(10 * MS, twist(0.05))
    checks.twist(20 * MS, twist(0.26))  # 10 m/s^2 over two periods would be 0.2
    assert checks.violations == {'linear_acceleration': 1}
    checks.twist(30 * MS, twist(0.0))
    assert checks.violations == {'linear_acceleration': 1}


def test_stamp_that_goes_back_is_a_violation(checks):
    for stamp in (20, 20, 10):
        checks.twist(stamp * MS, twist())
    assert checks.violations == {'stamp_not_monotone': 1}


@pytest.mark.parametrize(
    ('values', 'violation'),
    [
        ([-0.1], 'gripper_out_of_range'),
        ([1.1], 'gripper_out_of_range'),
        ([np.nan], 'gripper_not_finite'),
        ([], 'gripper_not_finite'),
    ],
)
def test_gripper_beyond_open_and_closed_is_a_violation(checks, values, violation):
    checks.gripper(values)
    assert checks.violations == {violation: 1}


def test_new_bounds_hold_for_what_is_stamped_after_the_change(checks):
    checks.change(max_linear_velocity=0.2)
    checks.twist(10 * MS, twist(0.4))  # under way while it is made
    checks.changed(20 * MS)
    checks.twist(19 * MS, twist(0.4))  # came late
    assert not checks.violations
    checks.twist(21 * MS, twist(0.21))
    assert checks.violations == {'linear_velocity': 1}


def test_motion_while_paused_and_commands_while_inactive_are_violations(checks):
    checks.still(10 * MS)
    checks.twist(11 * MS, twist())
    assert not checks.violations
    checks.twist(12 * MS, twist(0.1))
    checks.still(np.inf)
    checks.silent(13 * MS)
    checks.twist(14 * MS, twist())
    assert checks.violations == {'motion_while_paused': 1, 'command_while_inactive': 1}


def series(growth=0.0, count=200, seed=0):
    """Return times (s) and columns that grow by so much of their start over the run."""
    rng, rise = np.random.default_rng(seed), 1 + growth * np.linspace(0, 1, count)
    return 2.0 * np.arange(count), {
        'node_rss_mib': 800 * rise + rng.normal(0, 2, count),
        'node_fds': np.floor(30 * rise),
        'node_threads': np.full(count, 20),
        'act_ms_p50': 40 * rise * rng.lognormal(0, 0.1, count),
        'act_ms_p95': 90 * rise * rng.lognormal(0, 0.1, count),
    }


def test_noise_alone_is_flat():
    judged = flatness(*series())
    assert {name: column.get('flat') for name, column in judged.items()} == {
        'node_rss_mib': True,
        'node_fds': True,
        'node_threads': True,
        'act_ms_p50': True,
        'act_ms_p95': None,
    }
    assert abs(judged['node_rss_mib']['slope_per_hour']) < 20


def test_what_grows_is_not_flat_and_its_slope_is_told():
    times, columns = series(growth=0.5)
    judged = flatness(times, columns)
    flat = {name: column.get('flat') for name, column in judged.items()}
    assert not (flat['node_rss_mib'] or flat['node_fds'] or flat['act_ms_p50'])
    assert flat['node_threads']
    expected = 0.5 * 800 / (times[-1] / 3600)
    assert judged['node_rss_mib']['slope_per_hour'] == pytest.approx(expected, rel=0.05)


def test_warm_up_does_not_count_and_a_window_without_inferences_is_left_out():
    times, columns = series()
    columns['node_rss_mib'][:20] -= 300
    columns['act_ms_p50'][50:60] = np.nan
    assert all(column.get('flat', True) for column in flatness(times, columns).values())


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match='expected at least 10 samples, got 9'):
        flatness(*series(count=9))


@pytest.mark.slow
def test_soak_moves_the_robot_disturbs_it_and_writes_what_it_saw(tmp_path):
    figures = run_soak(
        tmp_path, 100, 0, str(write_checkpoint(tmp_path / 'checkpoint')), gate='motion'
    )
    assert figures == json.loads((tmp_path / 'soak.json').read_text())
    assert figures['finished']
    assert figures['steps'] >= 100
    assert not figures['violations']
    assert figures['checked']['twists'] > 100
    assert figures['inferences'] > 0
    with (tmp_path / 'soak.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]['steps']) == figures['steps']
    assert float(rows[-1]['node_rss_mib']) > 50
    assert int(rows[-1]['robot_threads']) > 1
