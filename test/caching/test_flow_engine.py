# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One engine steps flow models too: what it computes is what the whole prefix and expert give."""

import numpy as np
import pytest
from tiny_flow import CAMERAS
from tiny_flow import flow_model
from tiny_flow import FLOWS
from tiny_flow import states
import torch
import torch.nn.functional as F
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.flow.guidance import RealTimeChunking

TOLERANCE = 1e-5  # of the largest action
IDS, OTHER, LONGER = [2, 40, 41, 42, 9], [2, 50, 41, 43, 9], [2, 40, 41, 42, 43, 44, 9]


class Squares:
    """Give the towers the cameras' own pictures, which are of their size."""

    paths = ()

    def normalize(self, pixels, images):
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return stacked.flatten(0, 1)[None]


def engine_of(model, kind='plain', **options):
    given = {'images': Squares(), **options}
    if kind == 'recorded':
        return RecordedEngine(model, recorder=Direct(), **given)
    return SlotEngine(model, capture=kind == 'plain', **given)


def gap(found, wanted):
    return np.abs(np.asarray(found) - np.asarray(wanted)).max() / np.abs(wanted).max()


def scene(model, seed):
    size = model.config.image_size
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (CAMERAS, size, size, 3), dtype=np.uint8)


def take(engine, seed, plan=None, ids=IDS, state=0, look=False, **options):
    """Take a step in front of one of many scenes."""
    images = list(scene(engine.model, seed))
    size = engine.config.picture_size
    pixels = np.stack([image[:size, :size] for image in images])
    values = engine.encode(pixels, images)
    features = engine.look(values, ids) if look else None
    plan = full_plan(engine.layout.visual_tokens, 'asked') if plan is None else plan
    proprio = states(1, state)[0].numpy()
    return engine.step(pixels, values, ids, proprio, plan, features=features, **options)


@torch.no_grad()
def whole(model, seed, ids=IDS, state=0, step=0, guidance=None):
    """Return the actions of the whole prefix and the plain expert, nothing cached."""
    config = model.config.flow
    values = Squares().normalize(None, scene(model, seed))
    visual = model.project(model.vision_features(values))
    words, seen = torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool)
    proprio = states(1, state)
    memory = model.prefix(visual, words, seen, proprio if config.state_slot else None)
    x = model.action_head.noise(0, step)
    proprio = F.pad(proprio, (0, config.state_size - proprio.shape[1]))
    for k in range(config.steps):
        time = 1 - k / config.steps
        velocity = model.action_head.velocity(x[None], torch.tensor([time]), memory, proprio)[0]
        if guidance is not None:
            velocity = guidance(x, velocity, time)
        x = x - velocity / config.steps
    return x[:, : config.action_dim].numpy()


@pytest.mark.parametrize('towers', [False, True])
@pytest.mark.parametrize('kind', ['plain', 'transformers', 'recorded'])
@pytest.mark.parametrize('family', FLOWS)
def test_every_slot_active_gives_what_the_whole_model_gives(family, kind, towers):
    model = flow_model(family)
    engine = engine_of(model, kind, reuse_towers=towers)
    engine.prepare()
    for step, seed in enumerate((1, 2)):
        found = take(engine, seed, state=seed, look=not towers).normalized
        assert gap(found, whole(model, seed, state=seed, step=step)) < TOLERANCE


@pytest.mark.parametrize('family', FLOWS)
def test_all_engines_agree_on_steps_that_reuse_tokens(family):
    model = flow_model(family)
    found = []
    for kind in ('plain', 'transformers', 'recorded'):
        engine = engine_of(model, kind, reuse_towers=True)
        random = np.random.default_rng(0)
        rows = [take(engine, 1).normalized]
        for seed in (2, 3):
            active = random.random(engine.layout.visual_tokens) < 0.3
            result = take(engine, seed, StepPlan(active), state=seed)
            rows.append(result.normalized)
            assert abs(result.reuse - 1 + active.mean()) < 1e-9
        found.append(np.stack(rows))
    assert gap(found[0], found[1]) < TOLERANCE
    assert gap(found[0], found[2]) < TOLERANCE
    assert np.abs(found[0][1] - whole(model, 2, state=2, step=1)).max() > 1e-3  # it did reuse


@pytest.mark.parametrize('family', FLOWS)
def test_tokens_that_no_step_has_computed_are_seen_by_no_one(family):
    model = flow_model(family)
    found = []
    for kind in ('plain', 'recorded'):
        engine = engine_of(model, kind, reuse_towers=False)
        active = np.zeros(engine.layout.visual_tokens, dtype=bool)
        active[::2] = True
        first = take(engine, 1, StepPlan(active, refresh='first_step'), look=True)
        for layer in (*engine.cache.layers, *engine.cache.crossed.values()):
            layer.values[:, :, 1 : engine.layout.visual.stop : 2] = 1e3
        engine.cache.step, engine.cache.valid = 0, True
        again = take(engine, 1, StepPlan(active), look=True)
        assert gap(first.normalized, again.normalized) < TOLERANCE
        found.append(again.normalized)
    assert gap(found[0], found[1]) < TOLERANCE


@pytest.mark.parametrize('family', FLOWS)
def test_what_an_experts_crossed_layers_read_is_the_projection_of_what_is_cached(family):
    model = flow_model(family)
    engine = engine_of(model)
    take(engine, 1)
    active = np.random.default_rng(0).random(engine.layout.visual_tokens) < 0.3
    take(engine, 2, StepPlan(active))
    crossed = engine.cache.crossed
    assert sorted(crossed) == ([1, 3] if family == 'smolvla' else [])
    used = engine.prompt(IDS).used
    for index, layer in crossed.items():
        cached = engine.cache.layers[index]
        keys, values = model.action_head.cross(index, cached.keys, cached.values)
        assert (layer.keys - keys)[:, :, :used].abs().max() < TOLERANCE
        assert (layer.values - values)[:, :, :used].abs().max() < TOLERANCE


def test_a_state_in_the_prompt_is_no_new_instruction():
    engine = engine_of(flow_model('pi05'))
    active = np.zeros(engine.layout.visual_tokens, dtype=bool)
    take(engine, 1, instruction='lift')
    kept = take(engine, 2, StepPlan(active), ids=OTHER, instruction='lift')
    assert kept.reuse == 1 and not engine.cache.invalidations
    longer = take(engine, 2, StepPlan(active), ids=LONGER, instruction='lift')
    assert longer.reuse == 1 and not engine.cache.invalidations
    told = take(engine, 2, StepPlan(active), ids=OTHER, instruction='push')
    assert told.reuse == 0 and engine.cache.invalidations == {'new_instruction': 1}


@pytest.mark.parametrize('kind', ['plain', 'recorded'])
def test_another_state_in_the_prompt_is_read(kind):
    model = flow_model('pi05')
    engine = engine_of(model, kind)
    for step, ids in enumerate((IDS, OTHER, LONGER)):
        found = take(engine, 1, ids=ids, instruction='lift').normalized
        assert gap(found, whole(model, 1, ids, step=step)) < TOLERANCE


def test_the_state_of_smolvla_changes_no_other_slot():
    engine = engine_of(flow_model('smolvla'))
    take(engine, 1)
    state = engine.layout.proprio_slots.start
    others = [i for i in range(engine.prompt(IDS).used) if i != state]
    before = [layer.keys[:, :, others].clone() for layer in engine.cache.layers]
    own = engine.cache.layers[0].keys[:, :, state].clone()
    take(engine, 1, state=5)
    for layer, keys in zip(engine.cache.layers, before, strict=True):
        assert torch.equal(layer.keys[:, :, others], keys)
    assert not torch.equal(engine.cache.layers[0].keys[:, :, state], own)


@pytest.mark.parametrize('kind', ['plain', 'recorded'])
@pytest.mark.parametrize('family', FLOWS)
def test_a_chunk_is_held_to_the_rest_of_the_last_one(family, kind):
    model = flow_model(family)
    flow = model.config.flow
    left = torch.randn(4, flow.action_dim, generator=torch.Generator().manual_seed(3))
    guidance = RealTimeChunking(horizon=3).guide(left, 2, flow.chunk, flow.action_size)
    engine = engine_of(model, kind)
    free = take(engine, 1).normalized
    held = take(engine, 1, guidance=guidance).normalized
    assert gap(held, whole(model, 1, step=1, guidance=guidance)) < TOLERANCE
    assert np.abs(held - left[:1].numpy())[:2].max() < np.abs(free - left[:1].numpy())[:2].max()
    loose = take(engine, 1).normalized
    assert gap(loose, whole(model, 1, step=2)) < TOLERANCE  # it holds for one step


@pytest.mark.parametrize('family', FLOWS)
def test_an_episode_leaves_nothing_for_the_next(family):
    model = flow_model(family)
    engine = engine_of(model)
    take(engine, 1)
    take(engine, 2, ids=OTHER)
    engine.cache.invalidate('episode_reset')
    assert np.array_equal(take(engine, 3).normalized, take(engine_of(model), 3).normalized)


def test_fewer_flow_steps_can_be_asked_for():
    model = flow_model('pi0')
    short = take(engine_of(model, flow_steps=1), 1).normalized
    assert np.abs(short - take(engine_of(model), 1).normalized).max() > 1e-3


def test_a_prompt_longer_than_the_models_is_refused():
    engine = engine_of(flow_model('pi05'))
    with pytest.raises(InputError, match='a prompt of 1 to 200 tokens, found 201'):
        take(engine, 1, ids=[2] * 201)
