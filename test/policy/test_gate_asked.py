# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A gate that is asked for more reuse within an episode gives it, and gives it back."""

from fake_cache import FakeCache
from gate_samples import frames
from gate_samples import gate_of
from gate_samples import NAMES
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation

BUDGETS = ['random', 'motion', 'learned-fixed']


def make(name, folder, reuse=0.5):
    return gate_of(name, folder, reuse=reuse) if name in NAMES else make_gate(name, reuse=reuse)


def episode(gate, asked, cache=None):
    """Return the plans of an episode; asked: reuse to ask for before a step."""
    cache, plans = cache or FakeCache(), []
    for step, frame in enumerate(frames(9)):
        if step in asked:
            gate.ask(asked[step])
        plans.append(gate.plan(frame, cache))
        cache.apply(frame, plans[-1])
    return plans


def shares(plans):
    return [1 - plan.active.mean() for plan in plans]


@pytest.mark.parametrize('name', BUDGETS)
def test_the_next_plan_reuses_what_was_asked_for(name, folder):
    found = shares(episode(make(name, folder), {3: 0.8, 6: 0.5}))
    assert found[1:3] == pytest.approx([0.5] * 2, abs=2e-3)
    assert found[3:6] == pytest.approx([0.8] * 3, abs=2e-3)
    assert found[6:] == pytest.approx([0.5] * 3, abs=2e-3)


def test_the_learned_gate_reuses_more_while_it_is_asked_to(folder):
    plain = shares(episode(gate_of('learned', folder, reuse=0.2), {}))
    more = shares(episode(gate_of('learned', folder, reuse=0.2), {3: 0.9}))
    assert more[:3] == plain[:3]
    assert np.mean(more[3:]) > np.mean(plain[3:]) + 0.1


@pytest.mark.parametrize('name', [*NAMES, 'random', 'motion'])
def test_asking_back_restores_the_plans_bit_for_bit(name, folder):
    reuse, most = (0.37, 0.85)
    gate = make(name, folder, reuse)
    before = episode(gate, {})
    gate.reset()
    asked = episode(gate, {0: most, 1: reuse})  # nothing is drawn or chosen in between
    gate.reset()
    after = episode(gate, {})
    for plans in (asked, after):
        for one, other in zip(before, plans, strict=True):
            np.testing.assert_array_equal(one.active, other.active)
            np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize('name', [*NAMES, 'random', 'motion', 'vla-cache'])
def test_more_than_the_gate_was_tried_at_is_refused_and_changes_nothing(name, folder):
    gate = make(name, folder)
    assert gate.largest_reuse == (0.9 if name in NAMES else 0.85)
    gate.ask(gate.largest_reuse)
    with pytest.raises(ValueError, match='reuse: expected'):
        gate.ask(gate.largest_reuse + 0.01)
    assert gate.reuse == gate.largest_reuse
    gate.reset()
    assert gate.reuse == gate.largest_reuse  # an episode's end is no reason to give it back


def test_learned_gate_refuses_less_than_it_is_calibrated_for(folder):
    gate = gate_of('learned', folder)
    with pytest.raises(ValueError, match=r'expected 0\.2 to 0\.9, the range .* calibrated'):
        gate.ask(0.1)
    assert (gate.reuse, gate.bias) == (0.5, 0)


def test_dense_has_no_share_to_ask_for():
    assert not hasattr(make_gate('dense'), 'largest_reuse')


def test_a_policy_computes_less_from_the_step_after_it_was_asked(tmp_path):
    policy = Policy.from_pretrained(str(write_checkpoint(tmp_path)), gate='motion', reuse=0.5)
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 256, (2, 224, 224, 3), np.uint8))

    def act():
        return policy.act(Observation(images, 'push', np.zeros(8, np.float32)))[1].reuse

    assert [act(), act(), act()] == pytest.approx([0, 0.5, 0.5])
    policy.gate.ask(0.75)
    assert [act(), act()] == pytest.approx([0.75] * 2)
    policy.gate.ask(0.5)
    assert act() == pytest.approx(0.5)
