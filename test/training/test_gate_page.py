# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sentence about a new gate compares at one reuse and hides no loss."""

import pytest
from vla_cache_ros.training.gate_page import verdict


def row(gate, requested, reused, mean):
    return {'gate': gate, 'requested': requested, 'reused': reused, 'mean': mean}


def figures(after=0.02, episodes=20):
    rows = [row('dense', 0.0, 0.0, 0.0)]
    for name, mean in (('motion rule', 0.05), ('after', after)):
        rows += [row(name, 0.6, 0.6, mean / 2), row(name, 0.8, 0.8, mean)]
    # asked for 80 %, this gate gave 70 %: between its rows it stands at 0.025
    rows += [row('before', 0.6, 0.6, 0.01), row('before', 0.8, 0.7, 0.02)]
    rows += [row('before', 0.85, 0.9, 0.03)]
    return {
        'default_reuse': 0.8, 'rows': rows, 'held_out_episodes': 4,
        'training_episodes': episodes - 4,
    }  # fmt: skip


def test_gates_are_compared_at_the_reuse_that_came_about():
    text = verdict(figures())
    assert 'at 80 % reuse' in text
    assert '60 % below the motion rule' in text
    assert '20 % below the gate before it' in text


def test_a_gate_that_is_worse_is_said_to_be():
    text = verdict(figures(after=0.05))
    assert '100 % ABOVE the gate before it' in text


@pytest.mark.parametrize(('episodes', 'warned'), [(19, True), (20, False)])
def test_few_episodes_are_a_warning(episodes, warned):
    assert ('says little' in verdict(figures(episodes=episodes))) is warned
