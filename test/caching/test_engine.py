# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recomputing slots against the cache equals what it stands for, step after step."""

import gc

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import LONG
from engine_steps import nothing
from engine_steps import PROPRIO
from engine_steps import run
from naive_decoder import NaiveDecoder
import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import SlotLayer
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

SHORT = (1, 512, 29901, 1724, 3158, 29871)


@pytest.fixture(scope='module')
def tiny():
    return init_model(tiny_config(layers=2, cameras=1)).eval()


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

    def spy(images, active, cache, film):
        computed.append(active.any(dim=1).tolist())
        return recompute(images, active, cache, film)

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
    update = SlotLayer.update

    def spy(layer, *arguments):
        written.append(layer.window.rows.tolist())
        return update(layer, *arguments)

    monkeypatch.setattr(SlotLayer, 'update', spy)
    run(engine, pixels)
    assert 0 in written[0]
    written.clear()
    run(engine, pixels)
    assert not any(0 in rows for rows in written)


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
    spans += [layout.stop_slots, layout.text, [layout.spare]]
    assert [slot for span in spans for slot in span] == list(range(layout.spare + 1))
    assert 0 <= layout.size - layout.spare - 1 < 32 and layout.size % 32 == 0
    assert layout.camera(layout.cameras - 1).stop == layout.visual.stop
    for text in (1, 20, 64):
        positions = layout.positions(text)
        assert sorted(positions) == list(range(layout.used(text)))
        order = [layout.visual, layout.proprio_slots, layout.text[:text], layout.action_slots]
        wanted = [slot for span in (range(1), *order, layout.stop_slots) for slot in span]
        assert [wanted[p] for p in positions] == list(range(layout.used(text)))
