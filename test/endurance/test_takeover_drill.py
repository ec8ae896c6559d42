# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drill that takes the arm over tells a person's commands from the policy's."""

import numpy as np
import pytest
from takeover import foreign

WANTED = np.array([0.1, -0.2, 0.05, 0.3, 0.0, 0.1])
POLICYS = np.array([0.2, 0.1, 0.0, 0.0, 0.0, 0.5])
ZERO = np.zeros(6)


def way(before, target, *shares):
    """Return commands on the way from one to another, linear and angular each at its pace."""
    halves = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    return [before, *(before + share * halves * (target - before) for share in shares)]


@pytest.mark.parametrize(
    ('commands', 'expected'),
    [
        (way(POLICYS, WANTED, 0.3, 0.7, 1.0), 0),
        ([POLICYS, WANTED, WANTED, WANTED], 0),
        ([POLICYS, WANTED, WANTED / 2, ZERO, ZERO], 0),
        ([POLICYS, ZERO, WANTED], 0),  # a stop between
        ([POLICYS], 0),
        ([POLICYS, POLICYS * 1.01, WANTED], 1),
        ([ZERO, WANTED, POLICYS, WANTED], 1),
        ([POLICYS, WANTED * 1.01], 1),  # beyond what was wanted
        ([POLICYS, WANTED, WANTED * [1, 1, 1, 1, 1, 0.9]], 1),
    ],
)
def test_commands_that_lead_elsewhere_than_a_person_wants_are_counted(commands, expected):
    assert foreign(commands, [WANTED, ZERO]) == expected


def test_without_a_twist_every_motion_is_foreign():
    assert foreign([POLICYS, POLICYS, ZERO, WANTED], []) == 2
