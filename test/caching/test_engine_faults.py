# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A step that fails or does not fit leaves nothing behind that is trusted later."""

from dataclasses import replace

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import LONG
from engine_steps import nothing
from engine_steps import PROPRIO
from engine_steps import run
import numpy as np
import pytest
from tiny_model import tiny_config
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import SlotLayer
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model


def test_a_failed_step_is_never_trusted(model, monkeypatch):
    first, second = frames(model, 2)
    engine, fresh = SlotEngine(model), SlotEngine(model)
    run(engine, first)
    update, calls = SlotLayer.update, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError('out of memory')
        return update(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SlotLayer, 'update', fail)
        with pytest.raises(MemoryError):
            run(engine, second, choice(engine, 0.5, 1))
    assert not engine.cache.valid and engine.cache.cause == 'step_failed'
    result, dense = run(engine, second, nothing(engine)), run(fresh, second)
    assert (result.refresh, result.reuse) == ('step_failed', 0)
    assert np.abs(result.normalized - dense.normalized).max() < 1e-5
    assert engine.cache.valid and engine.cache.cause == ''


def test_a_non_finite_output_is_an_error_and_leaves_nothing_behind(model):
    first, second = frames(model, 2)
    engine, fresh = SlotEngine(model), SlotEngine(model)
    run(engine, first)
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(second)
    proprio = PROPRIO if engine.layout.proprio else None
    plan = StepPlan(~nothing(engine))
    with pytest.raises(NonFiniteOutputError, match='finite'):
        engine.step(second, values * float('nan'), LONG, proprio, plan)
    assert not engine.cache.valid
    assert engine.cache.invalidations == {'non_finite_output': 1}
    result, dense = run(engine, second, nothing(engine)), run(fresh, second)
    assert result.refresh == 'non_finite_output'
    assert np.abs(result.normalized - dense.normalized).max() < 1e-5


def test_invalidation_names_are_counted_and_unknown_ones_refused(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    assert run(engine, pixels, nothing(engine)).refresh == 'first_step'
    engine.cache.invalidate('gap_too_long')
    assert engine.cache.step == 1
    assert run(engine, pixels, nothing(engine)).refresh == 'gap_too_long'
    engine.cache.invalidate('episode_reset')
    engine.cache.invalidate('episode_reset')
    assert engine.cache.step == 0
    assert engine.cache.invalidations == {'gap_too_long': 1, 'episode_reset': 2}
    with pytest.raises(ValueError, match='bored'):
        engine.cache.invalidate('bored')


def test_inputs_that_do_not_fit_leave_the_cache_as_it_was(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    run(engine, pixels)
    before = contents(engine)
    values = ImagePreprocessor.for_towers(oft.config.towers).normalize(pixels)
    plan, tokens = StepPlan(nothing(engine)), engine.layout.visual_tokens
    ten_kilobytes = range(1, 2500)
    wrong = [
        (pixels[:1], values, LONG, PROPRIO, plan, 'images: expected uint8'),
        (pixels.astype(np.float32), values, LONG, PROPRIO, plan, 'found float32'),
        (pixels, values[:, :6], LONG, PROPRIO, plan, 'pixel_values: expected'),
        (pixels, values, ten_kilobytes, PROPRIO, plan, '1 to 1477 tokens, found 2498'),
        (pixels, values, (1,), PROPRIO, plan, '1 to 1477 tokens, found 0'),
        (pixels, values, LONG, None, plan, 'proprio: expected'),
        (pixels, values, LONG, PROPRIO[:7], plan, 'proprio: expected'),
        (pixels, values, LONG, PROPRIO, StepPlan(np.ones(256, dtype=bool)), 'bool'),
        (pixels, values, LONG, PROPRIO, StepPlan(np.ones(tokens)), 'float64'),
    ]
    grown = StepPlan(nothing(engine), ((1, ~nothing(engine)),))
    beyond = StepPlan(nothing(engine), ((4, nothing(engine)),))
    wrong.append((pixels, values, LONG, PROPRIO, grown, 'subset'))
    wrong.append((pixels, values, LONG, PROPRIO, beyond, 'layers below 4'))
    for *arguments, words in wrong:
        with pytest.raises((InputError, ValueError), match=words):
            engine.step(*arguments)
    assert engine.cache.valid and engine.cache.step == 1 and not engine.cache.invalidations
    assert np.array_equal(contents(engine), before)


def test_what_was_never_computed_is_not_taken_from_the_cache_at_a_deeper_layer(oft):
    (pixels,) = frames(oft, 1)
    engine, fresh = SlotEngine(oft), SlotEngine(oft)
    half = np.arange(engine.layout.visual_tokens) % 2 == 0
    cut = ((2, nothing(engine)),)
    result, dense = run(engine, pixels, layers=cut, refresh='episode_reset'), run(fresh, pixels)
    assert (result.refresh, result.reuse) == ('first_step', 0)
    assert np.abs(result.normalized - dense.normalized).max() < 1e-5
    engine.cache.invalidate('episode_reset')
    run(engine, pixels, half, refresh='episode_reset')
    with pytest.raises(ValueError, match='not cached to stay at every layer'):
        run(engine, pixels, layers=cut)
    assert engine.cache.valid and run(engine, pixels, half, layers=cut).reuse == 0.25


def test_a_step_under_way_is_not_trusted_yet(oft, monkeypatch):
    (pixels,) = frames(oft, 1)
    engine, seen, update = SlotEngine(oft), [], SlotLayer.update

    def spy(*arguments):
        seen.append(engine.cache.valid)
        return update(*arguments)

    monkeypatch.setattr(SlotLayer, 'update', spy)
    run(engine, pixels)
    run(engine, pixels, choice(engine, 0.5, 1))
    assert set(map(id, seen)) == {id(False)} and engine.cache.valid


def test_features_that_were_computed_before_are_used(model):
    first, second = frames(model, 2)
    engine, other = (SlotEngine(model, reuse_towers=False) for _ in range(2))
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(second)
    proprio = PROPRIO if engine.layout.proprio else None
    plan, zeros = StepPlan(~nothing(engine)), values * 0
    engine.step(first, zeros, LONG, proprio, plan, features=engine.look(values))
    other.step(first, values, LONG, proprio, plan)
    assert np.array_equal(contents(engine), contents(other))


def test_tokens_of_a_parallel_model_are_decoded_in_one_pass_or_refused(monkeypatch):
    config = tiny_config(layers=2, cameras=1)
    discrete = replace(config, oft=replace(config.oft, action_head='discrete'))
    model = init_model(discrete).eval()
    (pixels,) = frames(model, 1)
    engine = SlotEngine(model)
    result = run(engine, pixels)
    assert result.normalized.shape == (8, 7) and result.passes == 0
    assert np.array_equal(result.normalized.ravel(), engine.words.tokens.decode(result.tokens))
    assert np.array_equal(run(SlotEngine(model), pixels).tokens, result.tokens)
    said = model.logits
    monkeypatch.setattr(model, 'logits', lambda hidden: said(hidden) * float('nan'))
    with pytest.raises(NonFiniteOutputError, match='finite logits'):
        run(engine, pixels)
    assert engine.cache.invalidations == {'non_finite_output': 1}
