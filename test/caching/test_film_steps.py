# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps of a model whose vision depends on the instruction: exact, and new with a new one."""

from engine_steps import choice
from engine_steps import contents
from engine_steps import Counting
from engine_steps import frames
from engine_steps import LONG
from engine_steps import looked
from engine_steps import nothing
from engine_steps import PROPRIO
from engine_steps import run
from engine_steps import SHORT
import numpy as np
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.recording.recorded import RecordedEngine


def whole(model, pixels, ids):
    """Return the action chunk of the model without a cache."""
    values = SlotEngine(model).encode(pixels)
    visual = model.project(model.vision_features(values, model.modulation(ids)))
    proprio = torch.from_numpy(PROPRIO)[None]
    return model.action_head(model.chunk_hidden(visual, torch.tensor([ids]), proprio=proprio))[0]


@pytest.mark.parametrize('reuse_towers', [True, False])
def test_another_instruction_is_seen_with_other_eyes(film, reuse_towers):
    (pixels,) = frames(film, 1)
    engine = SlotEngine(film, reuse_towers=reuse_towers)
    first = run(engine, pixels).normalized
    assert np.abs(first - whole(film, pixels, LONG).numpy()).max() < 1e-5
    assert run(engine, pixels, nothing(engine)).reuse == 1
    result = run(engine, pixels, nothing(engine), SHORT)
    assert (result.refresh, result.reuse) == ('new_instruction', 0)
    assert engine.cache.invalidations == {'new_instruction': 1}
    assert np.abs(result.normalized - whole(film, pixels, SHORT).numpy()).max() < 1e-5
    seen = [film.vision_features(engine.encode(pixels), film.modulation(i)) for i in (LONG, SHORT)]
    assert (seen[0] - seen[1]).abs().max() > 0.01


def test_active_patches_alone_are_modulated_as_all_are(film):
    (pixels,) = frames(film, 1)
    engine = SlotEngine(film, reuse_towers=True)
    run(engine, pixels)
    before = contents(engine)
    for seed in range(3):
        run(engine, pixels, choice(engine, 0.3, seed))
    assert np.abs(contents(engine) - before).max() < 2e-5


@pytest.mark.parametrize('reuse_towers', [True, False])
def test_recorded_steps_follow_the_instruction(film, reuse_towers):
    plain = SlotEngine(film, reuse_towers=reuse_towers)
    engine = RecordedEngine(film, reuse_towers=reuse_towers, recorder=Counting())
    engine.prepare()
    prepared = list(engine.recorder.names)
    for step, pixels in enumerate(frames(film, 6)):
        active = choice(plain, (1.0, 0.3, 0.0)[step % 3], step)
        ids = LONG if step not in (2, 3) else SHORT
        one, other = (looked(each, pixels, active, ids) for each in (plain, engine))
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
        assert one.refresh == other.refresh
        assert one.refresh == {0: 'first_step', 2: 'new_instruction', 4: 'new_instruction'}.get(
            step, ''
        )
    assert engine.recorder.names == prepared


def test_a_look_that_no_step_followed_leaves_nothing_behind(film):
    first, second = frames(film, 2)
    engine, fresh = RecordedEngine(film, reuse_towers=False, recorder=Counting()), SlotEngine(film)
    run(engine, first)
    engine.look(engine.encode(second), SHORT)
    result, wanted = run(engine, second), (run(fresh, first), run(fresh, second))[1]
    assert result.refresh == '' and np.abs(result.normalized - wanted.normalized).max() < 2e-5
