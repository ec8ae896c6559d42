# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Prompts longer than there was room for are taken, up to the positions that the model has."""

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import LONG
from engine_steps import looked
from engine_steps import nothing
from engine_steps import run
import numpy as np
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.instructions import Instructions
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.vla.files.errors import InputError

LONGER = tuple(range(1, 203))  # 201 tokens after BOS; there is room for 64


def ready(model):
    """Return an engine with room for any of the prompts here."""
    return SlotEngine(model, text_capacity=256)


def test_a_longer_prompt_gets_room_without_a_trace(model):
    (pixels,) = frames(model, 1)
    engine = SlotEngine(model)
    for ids in (LONGER, LONG, LONGER):
        engine.cache.invalidate('episode_reset')
        wanted = run(ready(model), pixels, ids=ids)
        assert np.array_equal(run(engine, pixels, ids=ids).normalized, wanted.normalized)
    assert engine.layout.text_capacity == 256
    shortest = SlotEngine(model)
    run(shortest, pixels)
    assert shortest.layout.text_capacity == 64


def test_what_is_cached_of_the_images_stays_where_attention_is_causal(causal):
    first, second = frames(causal, 2)
    engine, roomy = SlotEngine(causal), ready(causal)
    for each in (engine, roomy):
        run(each, first)
    some = choice(engine, 0.3, 1)
    for active, ids in ((nothing(engine), LONGER), (some, LONGER), (nothing(engine), LONG)):
        results = [run(each, second, active, ids) for each in (engine, roomy)]
        assert results[0].reuse == results[1].reuse > 0.6
        assert np.array_equal(contents(engine, ids), contents(roomy, ids))
        assert np.array_equal(results[0].normalized, results[1].normalized)


@pytest.mark.parametrize('prepared', [True, False])
def test_recorded_steps_take_a_longer_prompt_too(model, prepared):
    plain = SlotEngine(model, reuse_towers=False)
    engine = RecordedEngine(model, reuse_towers=False, recorder=Direct())
    if prepared:
        engine.prepare()
    for step, pixels in enumerate(frames(model, 5)):
        active = choice(plain, (1.0, 0.4)[step % 2], step)
        ids = LONGER if step in (2, 3) else LONG
        one, other = (looked(each, pixels, active, ids) for each in (plain, engine))
        assert np.abs(one.normalized - other.normalized).max() < 2e-5
    assert engine.layout.text_capacity == 256


def test_a_prompt_beyond_the_models_positions_is_refused_with_the_number(model):
    engine = SlotEngine(model)
    most = 2048 - engine.layout.text.start
    engine.check_prompt(1 + most)
    with pytest.raises(InputError, match=f'1 to {most} tokens, found {most + 1}; shorten it'):
        engine.check_prompt(2 + most)
    with pytest.raises(InputError, match='found 0'):
        engine.check_prompt(1)


def test_the_longest_prompt_of_all_runs(oft):
    (pixels,) = frames(oft, 1)
    engine = SlotEngine(oft)
    ids = tuple(int(i) for i in torch.randint(3, 500, (2048 - engine.layout.text.start + 1,)))
    run(engine, pixels, ids=ids)
    assert engine.layout.used(len(ids) - 1) == 2048


def test_an_instruction_is_encoded_once_and_checked_before_it_is_kept():
    encoded = []

    def encode(text):
        encoded.append(text)
        return [1, *(ord(letter) for letter in text)]

    def check(tokens):
        if tokens > 4:
            raise InputError(f'instruction: {tokens} tokens')

    instructions = Instructions(encode, check)
    assert [instructions.ids('abc') for _ in range(2)] == [[1, 97, 98, 99]] * 2
    assert encoded == ['abc']
    for _ in range(2):
        with pytest.raises(InputError, match='5 tokens'):
            instructions.ids('abcd')
    assert instructions.ids('abc') == [1, 97, 98, 99] and encoded == ['abc', 'abcd', 'abcd']
    with pytest.raises(InputError, match='expected text, found bytes'):
        instructions.ids(b'abc')
