# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check that recorded steps compute what eager ones do, on small models of every kind.

In float32, on the same observations: dense and cached steps, a new instruction, a reset, a step
that fails, two engines by turns, and thousands of steps in memory that stays. Knows no times.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.step import StepResult
from vla_cache_ros.caching.work import alone
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.caching.work import together
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.flow.guidance import RealTimeChunking
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import SHAPES

TOLERANCE = 1e-5  # of the largest action
_PROMPTS = (tuple(range(1, 36)), tuple(range(1, 22)))


@dataclass(frozen=True)
class Check:
    """Hold one comparison: the largest relative difference and what it may be at most."""

    name: str
    found: float
    most: float

    @property
    def ok(self) -> bool:
        """Return whether it passed; what isn't a number does not."""
        return self.found <= self.most


def small(name: str) -> VLAConfig:
    """Return a published shape with every size cut down, towers of both makes included."""
    config = SHAPES[name]
    if config.flow is not None:
        return _small_flow(config)
    towers = tuple(
        TowerConfig.from_timm(
            tower.timm_id, {'embed_dim': 64, 'depth': 3, 'num_heads': 2, 'mlp_ratio': 2.0}
        )
        for tower in config.towers
    )
    text = {
        **config.text,
        'hidden_size': 128,
        'intermediate_size': 256,
        'num_hidden_layers': 4,
        'num_attention_heads': 4,
        'num_key_value_heads': 4,
        'vocab_size': 1088,
        'pad_token_id': 0,
    }
    head = None if config.head is None else replace(config.head, width=48, depth=2, num_heads=4)
    return replace(config, towers=towers, text=text, pad_token_id=0, head=head)


def _small_flow(config: VLAConfig) -> VLAConfig:
    tower = replace(config.towers[0], embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0)
    keys = 2 if config.flow.smolvla else 1
    text = {
        **config.text,
        'hidden_size': 64,
        'intermediate_size': 96,
        'num_hidden_layers': 4,
        'num_attention_heads': 4,
        'num_key_value_heads': keys,
        'head_dim': 16,
        'vocab_size': 1088,
    }
    heads = {'num_heads': 4, 'kv_heads': keys, 'head_dim': 16, 'depth': 4}
    head = replace(config.head, width=48, inner=80, chunk=8, steps=3, **heads)
    return replace(config, towers=(tower,), text=text, head=head)


def check_all(
    device: str, goldens: Path | None, recorder: Recorder | None, steps: int
) -> Iterator[Check]:
    """
    Yield the checks of every kind of model.

    goldens: folder of golden checkpoints, None without. recorder: None records on the GPU.
    steps: of the long run.
    """
    models: dict[str, LoadedVLA] = {
        name: random_vla(small(name), dtype=torch.float32, device=device) for name in SHAPES
    }
    for folder in sorted(goldens.glob('*/config.json')) if goldens else ():
        models[f'golden {folder.parent.name}'] = load_checkpoint(
            folder.parent, dtype=torch.float32, device=device, need_tokenizer=False
        )
    for name, vla in models.items():
        yield from check_model(name, vla, recorder)
    for name in ('openvla-oft-7b', 'pi05'):
        yield from check_long_run(models[name], recorder, steps)


def check_model(name: str, vla: LoadedVLA, recorder: Recorder | None) -> Iterator[Check]:
    """Yield the checks of one model."""
    config = vla.config
    for decoding in ('jacobi', 'greedy') if config.decodes_tokens else ('jacobi',):
        title = f'{name} {decoding}' if config.decodes_tokens else name
        options = {'reuse_towers': False, 'decoding': decoding, 'images': vla.images}
        eager = SlotEngine(vla.model, capture=False, **options)
        recorded = RecordedEngine(vla.model, recorder=recorder, **options)
        recorded.prepare()
        pair = (recorded, eager)
        rng = np.random.default_rng(0)
        worst: dict[str, float] = {}
        for step in range(12):
            if step == 8:
                for engine in pair:
                    engine.cache.invalidate('episode_reset')
            plan = _plan(eager, rng, step)
            prompt = _PROMPTS[step // 4 % 2]
            what = 'dense' if plan.refresh else 'cached'
            if step == 4:
                what = 'new instruction'
            found = max(_difference(pair, step, plan, prompt), _caches(pair, prompt))
            worst[what] = max(worst.get(what, 0.0), found)
        if config.flow:
            worst |= _of_flow(pair)
        worst['after a failed step'] = _after_failure(pair)
        worst['three sessions as one batch'] = _as_one_batch(vla, recorder, options)
        other = RecordedEngine(vla.model, recorder=recorder, **options)
        for engine in (recorded, other):
            engine.cache.invalidate('episode_reset')
        worst['two engines by turns'] = _difference(
            (recorded, other), 20, _whole(eager), _PROMPTS[0]
        )
        for what, found in worst.items():
            yield Check(f'{title}: {what}', found, TOLERANCE)


def check_long_run(vla: LoadedVLA, recorder: Recorder | None, steps: int) -> Iterator[Check]:
    """Yield whether memory stays and whether the last step equals the same step at the start."""
    title = f'{vla.family}, {steps} steps'
    engine = RecordedEngine(vla.model, recorder=recorder, reuse_towers=False, images=vla.images)
    engine.prepare()
    rng = np.random.default_rng(1)
    first = run(engine, 0, _whole(engine), _PROMPTS[0])
    before = 0
    for step in tqdm(range(steps), unit='step', leave=False):
        if step == steps // 10:
            before = _held(engine.device)
        share = (0.0, 0.15, 0.5, 1.0)[step % 4]
        run(engine, step, StepPlan(rng.random(engine.layout.visual_tokens) < share), _PROMPTS[0])
    yield Check(f'{title}: bytes of GPU memory more', _held(engine.device) - before, 0.0)
    engine.cache.invalidate('episode_reset')
    again = run(engine, 0, _whole(engine), _PROMPTS[0])
    yield Check(f'{title}: the first one again', _relative(first, again), TOLERANCE)


def run(
    engine: SlotEngine, step: int, plan: StepPlan, prompt: tuple[int, ...], **options: object
) -> np.ndarray:
    """Take one step on a picture of that number; returns the normalised actions."""
    return alone(walk(engine, step, plan, prompt, **options)).normalized


def walk(
    engine: SlotEngine, step: int, plan: StepPlan, prompt: tuple[int, ...], **options: object
) -> Steps[StepResult]:
    """Do what `run` does, possibly together with other engines."""
    pictures = picture(engine.layout.cameras, step)
    pixels = engine.images.see(pictures)
    values = engine.encode(pixels, pictures)
    proprio = None
    if size := engine.config.proprio_dim:
        proprio = np.full(size, 0.1 * (step % 7), dtype=np.float32)
    features = yield from engine.looks(values)
    given = pixels, values, prompt, proprio, plan
    return (yield from engine.steps(*given, features=features, **options))


def picture(cameras: int, step: int) -> np.ndarray:
    """Return noise `[cams, 224, 224, 3]` with a square that moves."""
    image = np.random.default_rng(5).integers(0, 200, (cameras, 224, 224, 3), dtype=np.uint8)
    place = 20 * (step % 9)
    image[:, 60:100, place : place + 40] = 250
    return image


def _plan(engine: SlotEngine, rng: np.random.Generator, step: int) -> StepPlan:
    if step in (0, 8):
        return _whole(engine)
    return StepPlan(rng.random(engine.layout.visual_tokens) < (0.6, 0.3, 0.0, 0.1)[step % 4])


def _whole(engine: SlotEngine) -> StepPlan:
    return full_plan(engine.layout.visual_tokens, 'first_step')


def _difference(
    pair: tuple[SlotEngine, SlotEngine],
    step: int,
    plan: StepPlan,
    prompt: tuple[int, ...],
    **options: object,
) -> float:
    return _relative(*(run(engine, step, plan, prompt, **options) for engine in pair))


def _of_flow(pair: tuple[SlotEngine, SlotEngine]) -> dict[str, float]:
    """Return how far apart steps are whose prompt alone changes, or whose chunk is pulled."""
    flow, tokens = pair[0].config.flow, pair[0].layout.visual_tokens
    some = StepPlan(np.arange(tokens) % 3 == 0)
    _difference(pair, 12, _whole(pair[0]), _PROMPTS[0], instruction='take it')
    before = [engine.cache.invalidations.copy() for engine in pair]
    left = torch.linspace(-1, 1, 3 * flow.action_dim).unflatten(0, (3, -1))
    guidance = RealTimeChunking(horizon=3).guide(left, 1, flow.chunk, flow.action_size)
    found = {
        'another state in the prompt': _difference(
            pair, 13, some, (*_PROMPTS[0][:-3], 7, 8, 9), instruction='take it'
        ),
        'a longer one': _difference(
            pair, 14, some, (*_PROMPTS[0], 7, 8, 9), instruction='take it'
        ),
        'pulled to the last chunk': _difference(
            pair, 15, some, _PROMPTS[0], instruction='take it', guidance=guidance
        ),
        'pulled no more': _difference(pair, 16, some, _PROMPTS[0], instruction='take it'),
    }
    if [engine.cache.invalidations for engine in pair] != before:
        return dict.fromkeys(found, float('nan'))  # it was no new instruction
    return found


def _as_one_batch(vla: LoadedVLA, recorder: Recorder | None, options: Mapping[str, Any]) -> float:
    """Return how far steps of three sessions that run together are from each one's own."""
    rooms = Rooms(3)
    many = [
        RecordedEngine(vla.model, recorder=recorder, rooms=rooms, place=rooms.take(), **options)
        for _ in range(3)
    ]
    lone = [SlotEngine(vla.model, capture=False, **options) for _ in range(3)]
    many[0].prepare()
    rng = np.random.default_rng(2)
    worst = 0.0
    for step in range(6):
        plans = [_plan(many[0], rng, step if i else 0) for i in range(3)]
        asked = [(step + i, plans[i], _PROMPTS[(step // 3 + i) % 2]) for i in range(3)]
        found = together([walk(e, *one) for e, one in zip(many, asked, strict=True)])
        for engine, one, result in zip(lone, asked, found, strict=True):
            if isinstance(result, Exception):
                raise result
            worst = max(worst, _relative(result.normalized, run(engine, *one)))
    return worst


def _caches(pair: tuple[SlotEngine, SlotEngine], prompt: tuple[int, ...]) -> float:
    """Return the largest difference of keys and values, to the largest of a layer."""
    used = pair[0].layout.used(len(prompt) - pair[0].layout.lead)
    worst = 0.0
    held = ([*e.cache.layers, *e.cache.crossed.values()] for e in pair)
    for layers in zip(*held, strict=True):
        for name in ('keys', 'values'):
            one, other = (getattr(layer, name)[:, :, :used] for layer in layers)
            worst = max(worst, float((one - other).abs().max() / other.abs().max()))
    return worst


def _after_failure(pair: tuple[SlotEngine, SlotEngine]) -> float:
    """Let a step fail by a weight that is no number, mend it, and compare the next step."""
    weight = pair[0].model.language_model.model.layers[0].self_attn.o_proj.weight.data[0]
    kept = weight[0].clone()
    plan = StepPlan(np.zeros(pair[0].layout.visual_tokens, dtype=bool))
    for engine in pair:
        weight[0] = torch.nan
        try:
            run(engine, 13, plan, _PROMPTS[0])
            return float('nan')  # it should have failed
        except NonFiniteOutputError:
            if engine.cache.valid:
                return float('nan')
        finally:
            weight[0] = kept
    # the plan counts on a cache that is gone: everything is recomputed
    return _difference(pair, 14, plan, _PROMPTS[0])


def _relative(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / max(1e-3, np.abs(other).max()))


def _held(device: torch.device) -> int:
    return torch.cuda.memory_reserved(device) if device.type == 'cuda' else 0


def summary(checks: list[Check]) -> Mapping[str, object]:
    """Return how many passed and the worst of them, as JSON values."""
    return {
        'passed': sum(check.ok for check in checks),
        'of': len(checks),
        'failed': [check.name for check in checks if not check.ok],
        'all': [vars(check) for check in checks],
    }
