# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recomputing slots against the cache equals what it stands for, step after step."""

import gc
from pathlib import Path

from naive_decoder import NaiveDecoder
import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching import engine as engine_module
from vla_cache_ros.caching.engine import NonFiniteOutputError
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.errors import InputError
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

GOLDENS = Path(__file__).parent / 'data' / 'goldens'
LONG, SHORT = tuple(range(1, 30)), (1, 512, 29901, 1724, 3158, 29871)
PROPRIO = np.linspace(-0.5, 0.5, 8).astype(np.float32)


@pytest.fixture(scope='module')
def causal():
    return load_checkpoint(GOLDENS / 'openvla', need_tokenizer=False).model


@pytest.fixture(scope='module')
def oft():
    return load_checkpoint(GOLDENS / 'oft', need_tokenizer=False).model


@pytest.fixture(params=['causal', 'oft'])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope='module')
def tiny():
    return init_model(tiny_config(layers=2, cameras=1)).eval()


def frames(model, count, seed=0):
    """Return images in which a bright square moves over a noisy but still background."""
    oft = model.config.oft
    cameras = 1 if oft is None else oft.num_images
    still = np.random.default_rng(seed).integers(0, 200, (cameras, 224, 224, 3), dtype=np.uint8)
    out = []
    for i in range(count):
        image = still.copy()
        image[:, 60:100, 20 + 30 * i : 60 + 30 * i] = 250
        out.append(image)
    return out


def run(engine, pixels, active=None, ids=LONG, layers=(), probe_layers=()):
    values = ImagePreprocessor.for_towers(engine.config.towers).normalize(pixels)
    if active is None:
        active = np.ones(engine.layout.visual_tokens, dtype=bool)
    proprio = PROPRIO if engine.layout.proprio else None
    return engine.step(pixels, values, ids, proprio, StepPlan(active, layers), probe_layers)


def nothing(engine):
    return np.zeros(engine.layout.visual_tokens, dtype=bool)


def choice(engine, share, seed):
    generator = np.random.default_rng(seed)
    return generator.random(engine.layout.visual_tokens) < share


def contents(engine, ids=LONG):
    """Return K and V `[2, layers, heads, L, head_dim]` in the order of rotary positions."""
    order = np.argsort(engine.layout.positions(len(ids) - 1))
    pairs = [[layer.keys[0], layer.values[0]] for layer in engine.cache.layers]
    stacked = torch.stack([torch.stack(pair) for pair in pairs], dim=1)
    return stacked[:, :, :, order].numpy()


def prefill(engine, ids=LONG):
    """Return the positions that a step computes before any token is decoded."""
    count = 1 + engine.layout.visual_tokens + len(ids) - 1
    return slice(0, count) if engine.config.oft is None else slice(None)


def test_a_warm_cache_with_all_slots_active_equals_a_dense_step(model):
    first, second = frames(model, 2)
    warm, fresh = SlotEngine(model), SlotEngine(model)
    run(warm, first)
    run(warm, second, choice(warm, 0.3, 1))
    result, dense = run(warm, second), run(fresh, second)
    assert result.reuse == 0 and result.refresh == ''
    assert np.abs(contents(warm) - contents(fresh)).max() < 1e-5
    assert np.abs(result.normalized - dense.normalized).max() < 1e-5
    if dense.tokens is not None:
        assert np.array_equal(result.tokens, dense.tokens)


@pytest.mark.parametrize('ids', [LONG, SHORT])
def test_an_unchanged_image_needs_only_its_text_recomputed_when_causal(causal, ids):
    (pixels,) = frames(causal, 1)
    engine, fresh = SlotEngine(causal), SlotEngine(causal)
    run(engine, pixels, ids=LONG)
    result, dense = run(engine, pixels, nothing(engine), ids=ids), run(fresh, pixels, ids=ids)
    assert result.reuse == 1 and result.refresh == '' and not engine.cache.invalidations
    rows = prefill(engine, ids)
    gap = np.abs(contents(engine, ids) - contents(fresh, ids))[:, :, :, rows]
    assert gap.max() < 1e-5
    assert np.array_equal(result.tokens, dense.tokens)


def test_unchanged_inputs_are_a_fixed_point_whatever_is_recomputed(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    dense = run(engine, pixels)
    before = contents(engine)
    for seed, share in enumerate((0.0, 0.1, 0.6)):
        result = run(engine, pixels, choice(engine, share, seed))
        assert np.abs(result.normalized - dense.normalized).max() < 1e-5
        assert np.abs(contents(engine) - before).max() < 5e-5


@pytest.mark.parametrize('shrink', [False, True])
def test_a_sequence_of_subsets_equals_a_decoder_that_works_row_by_row(model, shrink):
    engine = SlotEngine(model, reuse_towers=False)
    length = engine.layout.used(len(SHORT) - 1)
    text = len(SHORT) - 1
    bidirectional = model.config.oft is not None
    naive = NaiveDecoder(model, length, causal=not bidirectional)
    for step, pixels in enumerate(frames(model, 3)):
        active = ~nothing(engine) if step == 0 else choice(engine, 0.2, step)
        layers = ()
        if shrink and step:
            second = active & choice(engine, 0.5, 10 + step)
            third = second & choice(engine, 0.5, 20 + step)
            layers = ((1, second), (3, third))
        result = run(engine, pixels, active, SHORT, layers, probe_layers=(0, 2))

        values = ImagePreprocessor.for_towers(model.config.towers).normalize(pixels)
        with torch.inference_mode():
            visual = model.project(model.vision_features(values))
            if bidirectional:
                proprio = torch.from_numpy(PROPRIO)[None]
                embeds = model.chunk_embeds(visual, torch.tensor([SHORT]), proprio)[0].numpy()
            else:
                words = model.embed_text(torch.tensor(SHORT))
                embeds = torch.cat([words[:1], visual[0], words[1:]]).numpy()
        visual_positions = {1 + int(i) for i in np.flatnonzero(active)}
        always = set(range(len(embeds))) - set(engine.layout.visual)
        keep = {layer: always | {1 + int(i) for i in np.flatnonzero(a)} for layer, a in layers}
        rows = sorted(visual_positions | always)
        hidden = naive.run(embeds[rows], rows, keep)
        shown = slice(0, len(embeds))
        gap = np.abs(contents(engine, SHORT)[0] - naive.keys)[:, :, shown]
        assert gap.max() < 5e-5, step
        gap = np.abs(contents(engine, SHORT)[1] - naive.values)[:, :, shown]
        assert gap.max() < 5e-5, step

        last = engine.layout.visual.stop + int(engine.layout.proprio) + text - 1
        if bidirectional:
            read = np.stack([hidden[last + i] for i in range(engine.layout.actions)])
            with torch.inference_mode():
                wanted = model.action_head(torch.from_numpy(read).float()[None])[0]
            assert np.abs(result.normalized - wanted.numpy()).max() < 1e-4
        else:
            logits = naive.state['lm_head.weight'] @ hidden[last]
            assert result.tokens[0] == logits.argmax()
        for index, layer in enumerate((0, 2)):
            weights = [naive.attention[layer, last - i].mean(0) for i in range(text)]
            wanted = np.mean(weights, axis=0)[1 : engine.layout.visual.stop]
            assert np.abs(engine.cache.attention.rows[index] - wanted).max() < 1e-5


def test_layers_that_shrink_count_as_reuse_but_not_as_produced(oft):
    first, second = frames(oft, 2)
    engine = SlotEngine(oft)
    run(engine, first)
    everything, half = ~nothing(engine), np.arange(512) % 2 == 0
    result = run(engine, second, everything, layers=((2, half), (3, nothing(engine))))
    assert result.reuse == pytest.approx((256 + 512) / (4 * 512))
    assert result.ages.tolist() == [1] * 512
    assert np.array_equal(engine.cache.pixels, patchify(first))


def test_provenance_says_which_step_and_pixels_made_each_token(oft):
    first, second = frames(oft, 2)
    engine = SlotEngine(oft)
    run(engine, first)
    active = choice(engine, 0.25, 3)
    result = run(engine, second, active)
    assert np.array_equal(result.ages, np.where(active, 0, 1))
    assert np.array_equal(engine.cache.ages(), np.where(active, 1, 2))
    wanted = np.where(active[:, None], patchify(second), patchify(first))
    assert np.array_equal(engine.cache.pixels, wanted)
    assert result.reuse == pytest.approx(1 - active.mean())


def test_towers_rest_for_cameras_without_active_tokens(oft, monkeypatch):
    first, second = frames(oft, 2)
    engine, other = SlotEngine(oft), SlotEngine(oft)
    run(engine, first), run(other, first)
    computed = []
    tower = oft.vision_backbone.featurizer
    recompute = tower.recompute

    def spy(images, active, cache):
        computed.append(active.any(dim=1).tolist())
        return recompute(images, active, cache)

    monkeypatch.setattr(tower, 'recompute', spy)
    wrist = np.arange(512) >= 256
    run(engine, second, wrist)
    run(engine, second, nothing(engine))
    assert computed == [[False, True]]
    mixed = np.stack([first[0], second[1]])
    run(other, mixed, wrist)
    assert np.abs(contents(engine) - contents(other)).max() < 1e-4


def test_a_new_instruction_recomputes_everything_once_where_all_slots_see_it(oft):
    (pixels,) = frames(oft, 1)
    engine, fresh = SlotEngine(oft), SlotEngine(oft)
    run(engine, pixels)
    result, dense = run(engine, pixels, nothing(engine), SHORT), run(fresh, pixels, ids=SHORT)
    assert (result.refresh, result.reuse) == ('new_instruction', 0)
    assert engine.cache.invalidations == {'new_instruction': 1}
    assert np.abs(result.normalized - dense.normalized).max() < 1e-5
    assert run(engine, pixels, nothing(engine), SHORT).reuse == 1


def test_bos_is_computed_once_an_episode_when_causal(causal, monkeypatch):
    (pixels,) = frames(causal, 1)
    engine = SlotEngine(causal)
    written = []
    layer = engine_module.decoder.run_layer

    def spy(*arguments):
        written.append(engine.cache.window.rows.tolist())
        return layer(*arguments)

    monkeypatch.setattr(engine_module.decoder, 'run_layer', spy)
    run(engine, pixels)
    assert 0 in written[0]
    written.clear()
    run(engine, pixels)
    assert not any(0 in rows for rows in written)


def test_a_failed_step_is_never_trusted(model, monkeypatch):
    first, second = frames(model, 2)
    engine, fresh = SlotEngine(model), SlotEngine(model)
    run(engine, first)
    layer, calls = engine_module.decoder.run_layer, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError('out of memory')
        return layer(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(engine_module.decoder, 'run_layer', fail)
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
        (pixels, values, ten_kilobytes, PROPRIO, plan, '1 to 64 tokens, found 2498'),
        (pixels, values, (1,), PROPRIO, plan, '1 to 64 tokens, found 0'),
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


def test_exactly_the_action_tokens_are_decoded_even_past_an_end_token(causal, monkeypatch):
    (pixels,) = frames(causal, 1)

    def always_stop(hidden):
        logits = torch.zeros(*hidden.shape[:-1], 32064)
        logits[..., 2] = 1
        return logits

    monkeypatch.setattr(causal, 'logits', always_stop)
    result = run(SlotEngine(causal, action_dim=5), pixels)
    assert result.tokens.tolist() == [2] * 5
    assert result.normalized.shape == (1, 5)


def test_memory_stays_flat_over_an_episode(tiny):
    engine = SlotEngine(tiny)
    (pixels,) = frames(tiny, 1)
    buffers = [layer.keys.data_ptr() for layer in engine.cache.layers]
    size = engine.cache.memory_bytes()

    def tensors():
        gc.collect()
        return sum(type(o) is torch.Tensor for o in gc.get_objects())

    counts = []
    for step in range(300):
        result = run(engine, pixels, choice(engine, 0.05, step), probe_layers=(1,))
        if step in (20, 299):
            counts.append(tensors())
        assert result.ages.min() >= 0
    assert counts[0] == counts[1]
    assert buffers == [layer.keys.data_ptr() for layer in engine.cache.layers]
    assert size == engine.cache.memory_bytes() and engine.cache.step == 300


@pytest.mark.parametrize(
    'layout',
    [SlotLayout(cameras=1, actions=7), SlotLayout(2, 56, proprio=True, stop=True)],
)
def test_slots_are_fixed_and_positions_follow_the_reference(layout):
    spans = [range(1), layout.visual, layout.proprio_slots, layout.action_slots]
    spans += [layout.stop_slots, layout.text]
    assert [slot for span in spans for slot in span] == list(range(layout.size))
    assert layout.camera(layout.cameras - 1).stop == layout.visual.stop
    for text in (1, 20, 64):
        positions = layout.positions(text)
        assert sorted(positions) == list(range(layout.used(text)))
        order = [layout.visual, layout.proprio_slots, layout.text[:text], layout.action_slots]
        wanted = [slot for span in (range(1), *order, layout.stop_slots) for slot in span]
        assert [wanted[p] for p in positions] == list(range(layout.used(text)))
