# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A first step may leave tokens out: nobody sees them until a later step computes them."""

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import LONG
from engine_steps import nothing
from engine_steps import PROPRIO
from engine_steps import run
import numpy as np
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.images import ImagePreprocessor


def without(model, engine, pixels, active):
    """Return what the model answers to a sequence that lacks the inactive tokens' rows."""
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(pixels)
    ids, read = torch.tensor([LONG]), None
    visual = model.project(model.vision_features(values))[:, torch.from_numpy(active)]
    if model.config.oft is None:
        words = model.embed_text(ids)
        embeds = torch.cat([words[:, :1], visual, words[:, 1:]], dim=1)
    else:
        embeds = model.chunk_embeds(visual, ids, torch.from_numpy(PROPRIO)[None])
        read = model.chunk_rows(embeds.shape[1], ids, None)[2][0]
    rest = embeds.shape[1] - active.sum() - 1
    kept = [0, *(1 + np.flatnonzero(active)), *(1 + active.size + np.arange(rest))]

    def hidden():
        positions = torch.tensor(kept)[None]
        return decoder.run_layers(model.language_model, embeds, positions, None, read is None)[0]

    if read is not None:
        return model.action_head(hidden()[read][None])[0].numpy()
    tokens = []
    for _ in range(engine.layout.actions):
        tokens.append(model.logits(hidden()[-1]).argmax())
        embeds = torch.cat([embeds, model.embed_text(tokens[-1])[None, None]], dim=1)
        kept.append(kept[-1] + 1)
    return np.array(tokens)


@torch.no_grad()
def test_it_is_a_step_on_a_sequence_without_those_tokens(model):
    (pixels,) = frames(model, 1)
    engine = SlotEngine(model)
    active = choice(engine, 0.6, 1)
    result = run(engine, pixels, active, refresh='episode_reset')
    assert (result.refresh, result.reuse) == ('episode_reset', pytest.approx(0))
    assert np.array_equal(engine.cache.present, active)
    wanted = without(model, engine, pixels, active)
    if result.tokens is None:
        assert np.abs(result.normalized - wanted).max() < 1e-5
    else:
        assert np.array_equal(result.tokens, wanted)


def test_what_is_still_absent_is_neither_seen_nor_counted_as_reused(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    active = choice(engine, 0.6, 1)
    first = run(engine, pixels, active, refresh='episode_reset')
    again = run(engine, pixels, nothing(engine))
    assert np.abs(again.normalized - first.normalized).max() < 1e-5
    assert again.reuse == pytest.approx(active.mean())


def test_once_the_rest_is_computed_too_it_is_a_whole_step(causal):
    first, second = frames(causal, 2)
    engine, fresh = SlotEngine(causal), SlotEngine(causal)
    active = choice(engine, 0.6, 1)
    run(engine, first, active, refresh='episode_reset')
    result, dense = run(engine, second, ~nothing(engine)), run(fresh, second)
    assert engine.cache.present.all()
    assert np.array_equal(result.tokens, dense.tokens)
    prompt = 1 + engine.layout.visual_tokens + len(LONG) - 1
    assert np.abs(contents(engine) - contents(fresh))[:, :, :, :prompt].max() < 1e-5


def test_a_plan_that_was_made_for_a_valid_cache_is_not_taken_for_one(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    result = run(engine, pixels, choice(engine, 0.6, 1))
    assert result.active.all() and result.refresh == 'first_step'
