# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parallel decoding gives the tokens that greedy decoding gives, whatever it guessed."""

from engine_steps import choice
from engine_steps import frames
from engine_steps import run
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching.decoding import greedy
from vla_cache_ros.caching.decoding import jacobi
from vla_cache_ros.caching.decoding import Said
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.work import alone
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.model import init_model

VOCABULARY = 5
COUNT = 7


def done(decode, *arguments):
    """Return what decoding gives that asks for nothing."""
    return alone(decode(*arguments))


class Oracle:
    """A language model that is a table; it remembers slots as a cache does."""

    def __init__(self, memory, seed):
        self.memory = memory  # how many of the last tokens decide the next
        self.seed = seed
        self.slots = [0] * COUNT
        self.rows = 0

    def successor(self, tokens):
        seen = tuple(tokens[len(tokens) - min(self.memory, len(tokens)) :])
        return abs(hash((seen, len(tokens), self.seed))) % VOCABULARY

    def proceed(self, tokens, index):
        yield from ()
        return Said.of(self.logits(tokens, index))

    def logits(self, tokens, index):
        self.slots[index : index + len(tokens)] = tokens
        self.rows += len(tokens)
        after = [self.successor(self.slots[: index + i + 1]) for i in range(len(tokens))]
        return torch.nn.functional.one_hot(torch.tensor(after), VOCABULARY).float()

    def prefill(self, guess):
        first = torch.nn.functional.one_hot(torch.tensor([self.successor([])]), VOCABULARY).float()
        return torch.cat([first, self.logits(guess, 0)]) if guess else first


@settings(deadline=None, max_examples=300)
@given(
    memory=st.integers(0, COUNT),
    seed=st.integers(0, 10**6),
    guess=st.lists(st.integers(0, VOCABULARY - 1), min_size=COUNT - 1, max_size=COUNT - 1),
)
def test_tokens_are_those_of_greedy_decoding_whatever_the_guess(memory, seed, guess):
    one, other = Oracle(memory, seed), Oracle(memory, seed)
    wanted, sequential = done(greedy, Said.of(one.prefill([])), COUNT, one.proceed)
    tokens, passes = done(jacobi, Said.of(other.prefill(guess)), guess, COUNT, other.proceed)
    assert tokens.tolist() == wanted.tolist()
    assert sequential == COUNT - 1 and passes <= COUNT - 1
    assert other.slots[: COUNT - 1] == wanted[: COUNT - 1].tolist()  # the cache too


def test_a_right_guess_needs_no_pass_and_the_worst_case_as_many_as_greedy():
    oracle = Oracle(COUNT, 1)
    wanted, _ = done(greedy, Said.of(oracle.prefill([])), COUNT, oracle.proceed)
    guess = wanted[:-1].tolist()
    assert done(jacobi, Said.of(oracle.prefill(guess)), guess, COUNT, oracle.proceed)[1] == 0

    def one_more(tokens):
        after = (torch.tensor(tokens) + 1) % VOCABULARY
        return torch.nn.functional.one_hot(after, VOCABULARY).float()

    def counting(tokens, index):
        """Say one more than the last token: a guess is right only once the one before is."""
        yield from ()
        return Said.of(one_more(tokens))

    wrong = [2] * (COUNT - 1)
    logits = torch.cat([torch.eye(VOCABULARY)[:1], one_more(wrong)])
    tokens, passes = done(jacobi, Said.of(logits), wrong, COUNT, counting)
    assert tokens.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert passes == COUNT - 1


def test_only_what_is_kept_must_be_finite():
    oracle = Oracle(COUNT, 3)
    wanted, _ = done(greedy, Said.of(oracle.prefill([])), COUNT, oracle.proceed)
    wrong = [(token + 1) % VOCABULARY for token in wanted[:-1].tolist()]
    logits = oracle.prefill(wrong)
    logits[3:] = float('nan')  # follows a guess that greedy decoding never makes
    tokens, _ = done(jacobi, Said.of(logits), wrong, COUNT, oracle.proceed)
    assert tokens.tolist() == wanted.tolist()
    logits = oracle.prefill(wrong)
    logits[0] = float('nan')
    with pytest.raises(NonFiniteOutputError):
        done(jacobi, Said.of(logits), wrong, COUNT, oracle.proceed)


@pytest.mark.parametrize('seed', range(6))
def test_an_engine_decodes_the_same_tokens_either_way_on_random_models_and_prompts(seed):
    generator = np.random.default_rng(seed)
    model = init_model(tiny_config(causal=True, layers=int(generator.integers(1, 5))), seed).eval()
    with torch.no_grad():  # far apart logits, that differ from token to token
        model.language_model.lm_head.weight.mul_(50)
        model.language_model.model.embed_tokens.weight.mul_(20)
    engines = [SlotEngine(model, decoding=name) for name in ('greedy', 'jacobi')]
    passes = []
    for step, pixels in enumerate(frames(model, 4, seed)):
        ids = [1, *generator.integers(3, 500, generator.integers(3, 40)).tolist()]
        share = 1.0 if step == 0 else float(generator.random())
        active = choice(engines[0], share, step)
        one, other = (run(engine, pixels, active, ids) for engine in engines)
        assert np.array_equal(one.tokens, other.tokens)
        assert one.passes == 6 and other.passes <= 6
        passes.append(other.passes)
    assert len({*one.tokens.tolist()}) > 1
    assert run(engines[1], pixels, active, ids).passes == 0  # the same again is guessed right


def test_an_unknown_way_of_decoding_is_named():
    with pytest.raises(ValueError, match="jacobi, greedy, got 'beam'"):
        SlotEngine(init_model(tiny_config(causal=True, layers=1)), decoding='beam')
