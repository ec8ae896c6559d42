# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training's masked forward equals the engine's gathered step, over several stale steps."""

import numpy as np
from paths import DATA
import pytest
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor

GOLDENS = DATA / 'goldens'
PROMPTS = (tuple(range(1, 30)), (1, 512, 29901, 1724, 3158, 29871))


def load(name):
    return load_checkpoint(GOLDENS / name, need_tokenizer=False).model


def episode(cameras, seed, steps=4):
    """Return random images `[steps, cams, 224, 224, 3]`, masks `[steps, V]` and states."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (steps, cameras, 224, 224, 3), dtype=np.uint8)
    masks = rng.random((steps, cameras * 256)) < 0.3
    masks[0] = True
    masks[2, :256] = False if cameras > 1 else masks[2, :256]  # one camera rests
    return images, masks, rng.uniform(-1, 1, (steps, 8)).astype(np.float32)


def engine_steps(model, ids, images, masks, states):
    engine = SlotEngine(model)
    preprocessor = ImagePreprocessor.for_towers(model.config.towers)
    results = []
    for image, mask, state in zip(images, masks, states, strict=True):
        proprio = state if engine.layout.proprio else None
        plan = StepPlan(mask)
        results.append(engine.step(image, preprocessor.normalize(image), ids, proprio, plan))
    return engine, results


def pixel_values(model, images):
    preprocessor = ImagePreprocessor.for_towers(model.config.towers)
    return torch.cat([preprocessor.normalize(image) for image in images])


def test_bidirectional_masked_steps_equal_gathered_steps():
    model = load('oft')
    episodes = [episode(2, seed) for seed in (1, 2)]
    runs = [engine_steps(model, p, *e) for p, e in zip(PROMPTS, episodes, strict=True)]
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[*p, *[0] * (width - len(p))] for p in PROMPTS])
    ids_mask = torch.tensor([[i < len(p) for i in range(width)] for p in PROMPTS])
    cache = StaleCache()
    for t in range(4):
        images, masks, states = (np.stack([e[i][t] for e in episodes]) for i in range(3))
        with torch.no_grad():
            found = masked_step(
                model,
                pixel_values(model, images),
                ids,
                ids_mask,
                torch.from_numpy(states),
                torch.from_numpy(masks).float(),
                cache,
            )
        for row, (_, results) in enumerate(runs):
            assert np.abs(found[row].numpy() - results[t].normalized).max() < 1e-5, (t, row)
    for row, (engine, _) in enumerate(runs):
        for layer, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
            visual = slice(1, 513)
            kept = engine.cache.layers[layer]
            # keys reach 8, where 1e-5 would be ten roundings
            assert torch.allclose(kept.keys[0, :, visual], keys[row], atol=5e-5)
            assert torch.allclose(kept.values[0, :, visual], values[row], atol=5e-5)


def test_causal_masked_steps_equal_gathered_steps():
    model = load('openvla')
    images, masks, states = episode(1, 3)
    engine, results = engine_steps(model, PROMPTS[0], images, masks, states)
    cache = StaleCache()
    for t in range(4):
        tokens = torch.from_numpy(results[t].tokens)[None]
        with torch.no_grad():
            logits = masked_step(
                model,
                pixel_values(model, images[t : t + 1]),
                torch.tensor([PROMPTS[0]]),
                None,
                None,
                torch.from_numpy(masks[t : t + 1]).float(),
                cache,
                tokens,
            )
        assert logits.argmax(-1)[0].tolist() == results[t].tokens.tolist()
    for layer, keys in enumerate(cache.keys):
        kept = engine.cache.layers[layer].keys[0, :, 1:257]
        assert (kept - keys[0]).abs().max() < 1e-5 * kept.abs().max(), layer


def test_causal_prompts_of_different_lengths_go_in_one_batch():
    model = load('openvla')
    episodes = [episode(1, seed, steps=3) for seed in (5, 6)]
    runs = [engine_steps(model, p, *e)[1] for p, e in zip(PROMPTS, episodes, strict=True)]
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[*p, *[0] * (width - len(p))] for p in PROMPTS])
    ids_mask = torch.tensor([[i < len(p) for i in range(width)] for p in PROMPTS])
    cache = StaleCache()
    for t in range(3):
        images, masks = (np.stack([e[i][t] for e in episodes]) for i in range(2))
        tokens = torch.from_numpy(np.stack([run[t].tokens for run in runs]))
        mask = torch.from_numpy(masks).float()
        with torch.no_grad():
            values = pixel_values(model, images)
            logits = masked_step(model, values, ids, ids_mask, None, mask, cache, tokens)
        assert logits.argmax(-1).tolist() == tokens.tolist()


@pytest.mark.parametrize('name', ['oft', 'openvla'])
def test_task_gradient_reaches_the_mask(name):
    model = load(name).requires_grad_(False)
    cameras = 2 if name == 'oft' else 1
    images, masks, states = episode(cameras, 4)
    ids, cache = torch.tensor([PROMPTS[0]]), StaleCache()
    tokens = torch.arange(31744, 31751)[None]
    for t in range(2):
        mask = torch.from_numpy(masks[t : t + 1]).float().requires_grad_(t == 1)
        values, state = pixel_values(model, images[t : t + 1]), torch.from_numpy(states[t])[None]
        out = masked_step(model, values, ids, None, state, mask, cache, tokens)
    out.square().mean().backward()
    gradient = mask.grad[0].numpy()
    assert np.isfinite(gradient).all()
    assert (gradient != 0).mean() > 0.99
