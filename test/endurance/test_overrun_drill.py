# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drill that slows the model judges what it saw, and not what it hoped for."""

from copy import deepcopy

import numpy as np
from overrun import action_ms
from overrun import judge
import pytest

STAGES = ['more reuse', 'slower', 'stopped']


def phase(moving=100, reuse='0.5', frequency=10.0):
    return {'moving': moving, 'reuse_asked': reuse, 'control_frequency': frequency}


GOOD = {
    'phases': [phase(), phase(reuse='0.85'), phase(frequency=5.0), phase(moving=0), phase()],
    'order': ['none', *STAGES, 'slower', 'more reuse', 'none'],
    'sudden': {'after_s': {'more reuse': 1.0, 'slower': 4.0, 'stopped': 9.0}},
    'fastest': [0.4, 0.9],
    'limits': [0.4, 0.9],
}


def changed(*path, value):
    figures = deepcopy(GOOD)
    at = figures
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return figures


def test_what_went_as_promised_is_ok_also_if_a_stage_came_and_went():
    assert judge(GOOD, STAGES)
    wavering = ['none', 'more reuse', 'none', 'more reuse', 'slower', 'stopped', 'slower']
    assert judge(changed('order', value=wavering), STAGES)


@pytest.mark.parametrize(
    'figures',
    [
        changed('order', value=['none', 'slower', 'more reuse', 'stopped']),
        changed('order', value=['none', 'more reuse', 'slower', 'stopped', 'none']),
        changed('order', value=['none', 'more reuse', 'slower']),
        changed('fastest', value=[0.41, 0.9]),
        changed('phases', 3, 'moving', value=1),
        changed('phases', 4, 'moving', value=0),
        changed('phases', 4, 'reuse_asked', value='0.85'),
        changed('phases', 4, 'control_frequency', value=5.0),
        changed('sudden', 'after_s', value={'more reuse': 1.0, 'stopped': 9.0}),
    ],
)
def test_whatever_went_otherwise_is_not_ok(figures):
    assert not judge(figures, STAGES)


def test_how_long_an_action_lasts_is_read_from_the_commands():
    twists = []
    for tick in range(60):  # chunks of three actions of 100 ms, 100 ms apart
        action = tick // 5 % 4
        value = 0.0 if action == 3 else 1.0 + tick // 5
        twists.append((tick * 20_000_000, np.full(6, value)))
    assert action_ms(twists) == pytest.approx(100)
    assert action_ms([(stamp, np.zeros(6)) for stamp, _ in twists]) is None
