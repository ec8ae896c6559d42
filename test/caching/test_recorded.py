# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Steps in recorded shapes compute what steps in their own shapes compute.

Recording itself needs a GPU; here the function that would be recorded runs as it is, on the same
buffers, with the same padding.
"""

from engine_steps import choice
from engine_steps import contents
from engine_steps import Counting
from engine_steps import frames
from engine_steps import LONG
from engine_steps import nothing
from engine_steps import run
from engine_steps import SHORT
import numpy as np
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.recording.batch import bucket
from vla_cache_ros.caching.recording.recorded import RecordedEngine


def make(model, **options):
    """Return an engine that runs on a CPU as it would on a GPU."""
    return RecordedEngine(model, reuse_towers=False, recorder=Counting(), **options)


@pytest.mark.parametrize('decoding', ['jacobi', 'greedy'])
def test_an_episode_is_the_same_in_either_shapes(model, decoding):
    plain = SlotEngine(model, reuse_towers=False, decoding=decoding)
    captured = make(model, decoding=decoding)
    absent = choice(plain, 0.6, 1)
    for step, pixels in enumerate(frames(model, 6)):
        active = absent if step == 0 else choice(plain, (1.0, 0.3, 0.0)[step % 3], step)
        ids = LONG if step < 4 else SHORT
        refresh = 'episode_reset' if step == 0 else ''
        one, other = (
            run(engine, pixels, active, ids, (), (), refresh) for engine in (plain, captured)
        )
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
        assert one.refresh == other.refresh and one.passes == other.passes
        assert np.abs(contents(plain, ids) - contents(captured, ids)).max() < 5e-5


def test_shrinking_rows_and_probes_fall_back_to_rows_of_their_own(oft):
    plain, captured = SlotEngine(oft, reuse_towers=False), make(oft)
    for step, pixels in enumerate(frames(oft, 2)):
        active = choice(plain, 1.0 if step == 0 else 0.5, step)
        layers = ((2, active & choice(plain, 0.5, 9)),) if step else ()
        one, other = (
            run(engine, pixels, active, layers=layers, probe_layers=(1,))
            for engine in (plain, captured)
        )
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
    rows = (engine.cache.attention.rows for engine in (plain, captured))
    assert np.abs(np.subtract(*rows)).max() < 1e-5


def test_towers_that_recompute_active_patches_alone_run_beside_what_is_recorded(model):
    plain = SlotEngine(model, reuse_towers=True)
    engine = RecordedEngine(model, reuse_towers=True, recorder=Counting())
    for step, pixels in enumerate(frames(model, 4)):
        active = choice(plain, (1.0, 0.3, 0.0)[step % 3], step)
        one, other = (run(each, pixels, active) for each in (plain, engine))
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
    assert 'look' not in engine.recorder.names


def test_a_graph_that_is_replayed_after_an_invalidation_sees_nothing_of_what_was(oft):
    engine, fresh = make(oft), make(oft)
    first, second = frames(oft, 2)
    run(engine, first)
    engine.cache.invalidate('gap_too_long')
    result = run(engine, second, nothing(engine))  # a plan that counts on what is gone
    assert result.refresh == 'gap_too_long' and result.reuse == 0
    assert np.array_equal(result.normalized, run(fresh, second).normalized)


@pytest.mark.parametrize('decoding', ['jacobi', 'greedy'])
def test_after_preparing_no_step_records_anything(model, decoding):
    engine = make(model, decoding=decoding)
    engine.prepare()
    names = engine.recorder.names
    prepared = len(names)
    passes = int(model.config.decodes_tokens)
    sizes = (bucket(engine.layout.size) - bucket(engine.lanes.reads)) // 32 + 1
    assert prepared == len(set(names)) == sizes + 2 + passes
    for step, pixels in enumerate(frames(model, 4)):
        run(engine, pixels, choice(engine, (1.0, 0.5, 0.1, 0.0)[step], step), SHORT)
    assert len(names) == prepared


def test_a_result_is_no_view_of_what_the_next_step_overwrites(oft):
    engine = make(oft)
    first, second = frames(oft, 2)
    kept = run(engine, first)
    before = kept.normalized.copy()
    assert not np.array_equal(run(engine, second).normalized, before)
    assert np.array_equal(kept.normalized, before)


def test_pixels_become_what_the_preprocessor_makes_of_them_to_the_last_bit(model):
    engine = make(model)
    (pixels,) = frames(model, 1)
    wanted = engine.images.normalize(pixels)
    assert torch.equal(engine._images(pixels), wanted)


def test_buckets_hold_their_rows_with_less_than_one_tile_to_spare():
    for rows in range(1, 700):
        assert rows <= bucket(rows) < rows + 32
    assert len({bucket(rows) for rows in range(1, 641)}) == 20
