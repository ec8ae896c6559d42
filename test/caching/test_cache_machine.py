# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whatever happens in whatever order, no slot is used as what it is not: the engine's cache."""

from functools import cache
from unittest.mock import patch

from cache_record import active_at
from cache_record import NEVER
from cache_record import Record
from engine_steps import frames
from engine_steps import LONG
from engine_steps import PROPRIO
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
import numpy as np
import pytest
from tiny_model import tiny_config
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.episode_cache import SlotLayer
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

LAYERS = 3
MODELS = {
    'one camera': tiny_config(layers=LAYERS, cameras=1),
    'two cameras': tiny_config(layers=LAYERS, cameras=2),
    'causal': tiny_config(causal=True, layers=LAYERS),
}
PROMPTS = {
    'long': LONG,
    'longer': tuple(range(1, 101)),
    'short': (1, 40, 41, 42, 3),
    'other': (1, 50, 51, 3),
}
OBSERVATIONS = 5
CAUSES = [cause.value for cause in Invalidation]


@cache
def scene(name):
    """Return a model, its images, and what a slot holds when it was made from one of them."""
    model = init_model(MODELS[name]).eval()
    pixels = [frames(model, 1, seed)[0] for seed in range(OBSERVATIONS)]
    normalize = ImagePreprocessor.for_towers(model.config.towers).normalize
    values = [normalize(one) for one in pixels]
    layer = model.language_model.model.layers[0]
    with torch.inference_mode():
        embeds = [model.project(model.vision_features(one)[0]) for one in values]
        wanted = [layer.self_attn.v_proj(layer.input_layernorm(one)) for one in embeds]
    return model, pixels, values, [patchify(one) for one in pixels], wanted


# share of the tokens, seed of their choice, whether only of the second half
CHOICES = st.tuples(st.sampled_from([0, 1, 0.01, 0.3, 0.9]), st.integers(0, 9), st.booleans())
# at the first layer and from each later one on; why everything is recomputed
RECIPES = st.tuples(
    st.lists(CHOICES, min_size=3, max_size=3),
    st.sampled_from([(), (), (), (1,), (2,), (0, 2)]),
    st.sampled_from(['', '', 'because']),
)


def mask(choice, tokens):
    share, seed, half = choice
    chosen = np.random.default_rng(seed).random(tokens) < share
    return chosen & (np.arange(tokens) >= tokens // 2) if half else chosen


def plan_of(recipe, tokens):
    """Return a plan that the engine's contract allows, of any that it does."""
    choices, cuts, refresh = recipe
    active, layers = mask(choices[0], tokens), []
    kept = active
    for layer, choice in zip(cuts, choices[1:], strict=False):
        kept = kept & mask(choice, tokens)
        layers.append((layer, kept))
    return StepPlan(active, tuple(layers), refresh)


class CacheMachine(RuleBasedStateMachine):
    """Step and break an engine; a fresh one is given the same from each invalidation on."""

    @initialize(name=st.sampled_from(list(MODELS)), towers=st.booleans())
    def begin(self, name, towers):
        self.model, self.pixels, self.values, self.patches, self.wanted = scene(name)
        self.towers = towers
        self.engine = SlotEngine(self.model, reuse_towers=towers)
        self.tokens = self.engine.layout.visual_tokens
        self.record = Record(self.tokens, LAYERS)
        self.ids, self.twin, self.probed = None, None, ()

    def fresh(self):
        return SlotEngine(self.model, reuse_towers=self.towers)

    def ask(self, engine, observation, ids, plan, probe=(), values=None):
        values = self.values[observation] if values is None else values
        proprio = PROPRIO if engine.layout.proprio else None
        return engine.step(self.pixels[observation], values, ids, proprio, plan, probe)

    def keys(self, engine):
        used = engine.layout.used(len(self.ids) - 1)
        layers = engine.cache.layers
        return torch.stack([torch.cat([e.keys, e.values])[:, :, :used] for e in layers])

    def instruct(self, ids):
        """Note that the instruction is new, where that makes the cache worthless."""
        if self.ids not in (None, ids) and self.model.config.bidirectional and self.record.valid:
            self.record.invalidate('new_instruction')
        self.ids = ids

    @rule(
        recipe=RECIPES,
        observation=st.integers(0, OBSERVATIONS - 1),
        prompt=st.sampled_from(list(PROMPTS)),
        probe=st.sampled_from([(), (), (0, 2)]),
    )
    def step(self, recipe, observation, prompt, probe):
        self.take(plan_of(recipe, self.tokens), observation, PROMPTS[prompt], probe)

    @rule(observation=st.integers(0, OBSERVATIONS - 1))
    def dense_step(self, observation):
        everything = StepPlan(np.ones(self.tokens, dtype=bool))
        result = self.take(everything, observation, self.ids or LONG, ())
        dense = self.ask(self.fresh(), observation, self.ids, everything)
        assert np.abs(result.normalized - dense.normalized).max() < 1e-5

    def take(self, plan, observation, ids, probe):
        if self.record.unusable(plan):
            with pytest.raises(ValueError, match='every layer'):
                self.ask(self.engine, observation, ids, plan)
            return None
        self.instruct(ids)
        before, kept = self.keys(self.engine).clone(), self.record.valid
        if not kept:
            self.twin = self.fresh()
        taken = self.record.taken(plan)
        result = self.ask(self.engine, observation, ids, plan, probe)
        again = self.ask(self.twin, observation, ids, plan, probe)
        reuse, ages = self.record.apply(taken, observation)
        assert result.refresh == taken.refresh
        assert np.array_equal(result.active, taken.active)
        assert result.reuse == pytest.approx(reuse) and again.reuse == result.reuse
        assert np.array_equal(result.ages, ages)
        assert np.array_equal(result.normalized, again.normalized)
        after = self.keys(self.engine)
        assert torch.equal(after, self.keys(self.twin))
        if kept:
            self.untouched(before, after, taken)
        return result

    def untouched(self, before, after, plan):
        """Hold a step to writing no visual slot of a layer but those it computed there."""
        visual = slice(1, 1 + self.tokens)
        for layer in range(LAYERS):
            idle = torch.from_numpy(np.flatnonzero(~active_at(plan, layer)))
            gap = before[layer][:, :, visual] - after[layer][:, :, visual]
            assert not gap[:, :, idle].any()

    @rule(
        recipe=RECIPES,
        observation=st.integers(0, OBSERVATIONS - 1),
        call=st.integers(0, LAYERS - 1),
        error=st.sampled_from([MemoryError, RuntimeError, KeyboardInterrupt]),
    )
    def fail_in_the_decoder(self, recipe, observation, call, error):
        ids, plan = self.ids or LONG, plan_of(recipe, self.tokens)
        if self.record.unusable(plan):
            return
        update, calls = SlotLayer.update, []

        def fail(*arguments):
            calls.append(1)
            if len(calls) == call + 1:
                raise error('on purpose')
            return update(*arguments)

        self.instruct(ids)
        with patch.object(SlotLayer, 'update', fail), pytest.raises(error):
            self.ask(self.engine, observation, ids, plan)
        self.record.invalidate('step_failed')

    @rule(recipe=RECIPES, observation=st.integers(0, OBSERVATIONS - 1), late=st.booleans())
    def say_nothing_finite(self, recipe, observation, late):
        ids, plan = self.ids or LONG, plan_of(recipe, self.tokens)
        if self.record.unusable(plan):
            return
        self.instruct(ids)
        taken = self.record.taken(plan)
        if not late and active_at(taken, 0).any():
            self.refused(observation, ids, plan, self.values[observation] * float('nan'))
            return
        head = self.model.action_head
        said = self.model.logits if head is None else head.forward

        def nothing(*arguments):
            return said(*arguments) * float('nan')

        with patch.object(
            *((self.model, 'logits') if head is None else (head, 'forward')), nothing
        ):
            self.refused(observation, ids, plan)

    def refused(self, observation, ids, plan, values=None):
        with pytest.raises(NonFiniteOutputError):
            self.ask(self.engine, observation, ids, plan, values=values)
        self.record.invalidate('non_finite_output')

    @rule(cause=st.sampled_from(CAUSES))
    def invalidate(self, cause):
        self.engine.cache.invalidate(cause)
        self.record.invalidate(cause)

    @rule(kind=st.sampled_from(['pixels', 'values', 'ids', 'proprio', 'mask', 'order', 'grown']))
    def misfit(self, kind):
        full = np.ones(self.tokens, dtype=bool)
        pixels, values, ids, proprio = self.pixels[0], self.values[0], LONG, PROPRIO
        layers = {'order': ((2, full), (1, full)), 'grown': ((0, ~full), (1, full))}.get(kind, ())
        plan = StepPlan(full[1:] if kind == 'mask' else full, layers)
        if kind == 'proprio' and not self.engine.layout.proprio:
            return
        with pytest.raises((InputError, ValueError)):
            self.engine.step(
                pixels[:, :99] if kind == 'pixels' else pixels,
                values[:, 1:] if kind == 'values' else values,
                range(1, 2500) if kind == 'ids' else ids,
                None if kind == 'proprio' else proprio,
                plan,
            )

    @invariant()
    def holds_what_the_record_says(self):
        if not hasattr(self, 'record'):
            return
        self.record.check(self.engine.cache, self.patches)
        if self.towers:
            return  # a patch then depends on when its neighbours were computed
        values = self.engine.cache.layers[0].values[0, :, 1 : 1 + self.tokens]
        values = values.transpose(0, 1).flatten(1)  # [V, D]
        for observation in set(self.record.seen.tolist()) - {NEVER}:
            slots = torch.from_numpy(self.record.seen == observation)
            gap = values[slots] - self.wanted[observation][slots]
            assert gap.abs().max() < 1e-5


TestCache = CacheMachine.TestCase
TestCache.settings = settings(
    max_examples=50,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
