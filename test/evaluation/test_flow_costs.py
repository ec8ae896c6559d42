# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of SmolVLA, pi0 and pi0.5 is what their published sizes come to."""

from dataclasses import replace

import pytest
import torch
from vla_cache_ros.evaluation.bench.costs import Costs
from vla_cache_ros.evaluation.bench.costs import StepWork
from vla_cache_ros.vla.flow.published import FLOW_SHAPES

TEXT = {'smolvla': 20, 'pi0': 20, 'pi05': 60}
# GFLOP of tower, prefix, expert and all, and of all at 70 % reuse with the towers and without,
# reckoned by hand from the shapes; the last prefix layer whole, pi's expert all anew at each step
TABLE = {
    ('smolvla', 1): (214, 29, 102, 344, 1.92, 1.05),
    ('smolvla', 2): (428, 51, 104, 583, 2.31, 1.06),
    ('smolvla', 3): (641, 74, 106, 822, 2.52, 1.06),
    ('pi0', 1): (219, 1106, 346, 1671, 2.09, 1.75),
    ('pi0', 2): (438, 2153, 365, 2956, 2.47, 1.96),
    ('pi0', 3): (657, 3219, 384, 4259, 2.66, 2.06),
    ('pi05', 1): (219, 1268, 341, 1828, 1.91, 1.65),
    ('pi05', 2): (438, 2318, 360, 3115, 2.30, 1.87),
    ('pi05', 3): (657, 3387, 379, 4422, 2.51, 1.99),
}


def model(name, cameras):
    config = FLOW_SHAPES[name]
    return replace(config, head=replace(config.head, num_images=cameras))


def gflop(config, reuse, towers=True, **changes):
    """Return the GFLOP of each stage of a step that reuses a share of all visual tokens."""
    text = TEXT[config.family] + int(config.flow.state_slot)
    visual, share = config.cameras * config.tokens, 1 - reuse
    step = StepWork(
        active=(config.tokens * (share if towers else 1),) * config.cameras,
        visual=visual * share,
        entering=visual * share,
        fixed=text,
        visible=visual + text,
        **changes,
    )
    stages = Costs(config, torch.bfloat16, 7).stages(step)
    return [2 * stages[name].macs / 1e9 for name in ('vision', 'decoder', 'decode')]


@pytest.mark.parametrize(('name', 'cameras'), TABLE)
def test_a_step_takes_the_arithmetic_of_the_shapes(name, cameras):
    *wanted, with_towers, whole_towers = TABLE[name, cameras]
    config, plain = model(name, cameras), name != 'smolvla'
    dense = gflop(config, 0.0, plain=plain)
    assert [*dense, sum(dense)] == pytest.approx(wanted, rel=0.02)
    cached = sum(gflop(config, 0.7, plain=plain))
    assert sum(dense) / cached == pytest.approx(with_towers, rel=0.02)
    cached = sum(gflop(config, 0.7, towers=False, plain=plain))
    assert sum(dense) / cached == pytest.approx(whole_towers, rel=0.02)


def test_what_never_changes_is_not_computed_ten_times():
    def expert(name, plain):
        return gflop(model(name, 2), 0.0, plain=plain)[2]

    saved = {name: expert(name, True) - expert(name, False) for name in FLOW_SHAPES}
    # SmolVLA: keys and values of 8 layers, 149 rows of 320, nine times; the time's half of a
    # product; pi0: that half and nine passes of its state; pi0.5: 37 norms and the time, ten times
    row = 311.5e6 + 18 * 2 * 533 * 2048
    assert saved['smolvla'] == pytest.approx(2e-9 * (9 * 8 * 2 * 149 * 320**2 + 500 * 720**2))
    assert saved['pi0'] == pytest.approx(2e-9 * (9 * row + 500 * 1024**2), rel=0.02)
    assert saved['pi05'] == pytest.approx(2e-9 * 10 * (37 * 3 + 2) * 1024**2)


@pytest.mark.parametrize(('name', 'share'), [('smolvla', 0.06), ('pi0', 0.055), ('pi05', 0.055)])
def test_a_last_layer_of_keys_and_values_alone_saves_the_rest_of_it(name, share):
    whole = gflop(model(name, 2), 0.0)[1]
    assert 1 - gflop(model(name, 2), 0.0, read=0)[1] / whole == pytest.approx(share, rel=0.1)
