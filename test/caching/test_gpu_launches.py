# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
On a GPU a step copies pixels and a plan up and actions down, and waits once.

Counted on fake CUDA tensors, which need a CUDA build of torch and no GPU.
"""

import numpy as np
import pytest
import torch
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.work import together
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.shapes import shape_images
from vla_cache_ros.vla.shapes import SHAPES

if torch.version.cuda is None:
    pytest.skip('needs a CUDA build of torch (it needs no GPU)', allow_module_level=True)

from fake_gpu import Copies
from fake_gpu import Counts
from fake_gpu import fake_gpu
from fake_gpu import fake_model
from fake_gpu import Rehearsal
from vla_cache_ros.caching import stopwatch as clock


class NoClock:
    """Events of a GPU need one."""

    def __init__(self, device):
        pass

    def lap(self, name):
        pass

    def laps(self):
        return dict.fromkeys(('vision', 'wait', 'decoder', 'decode'), 0.0)


@pytest.fixture
def no_clock(monkeypatch):
    from vla_cache_ros.caching import engine
    from vla_cache_ros.caching.recording import recorded

    for module in (engine, recorded, clock):
        monkeypatch.setattr(module, 'StageClock', NoClock)


@pytest.mark.parametrize('name', SHAPES)
def test_a_step_copies_three_times_and_launches_graphs_alone(name, no_clock, monkeypatch):
    config, prompt = (
        SHAPES[name],
        [1, *range(100, 135), *getattr(SHAPES[name].head, 'prompt_end', ())],
    )
    pictures = np.zeros((config.cameras, 224, 224, 3), dtype=np.uint8)
    proprio = np.zeros(config.proprio_dim, np.float32) if config.proprio_dim else None
    images = shape_images(config)
    pixels = images.see(pictures)
    # made here: what is made among fake tensors has no numbers
    if config.flow:
        values = images.normalize(pixels, pictures).numpy()
    else:
        values = pixels
        assert len(images.levels) == 6  # kept
    noise = None
    if config.head is not None:
        size = (config.chunk, config.flow.action_size) if config.flow else (1, config.chunk, 7)
        noise = torch.zeros(size)
    counts, copies = Counts(), Copies()
    with fake_gpu(), copies:
        model = fake_model(config)
        if noise is not None:
            monkeypatch.setattr(model.action_head, 'noise', lambda seed, step: noise)
        engine = RecordedEngine(model, recorder=Rehearsal(counts), images=images)
        tokens = engine.layout.visual_tokens
        active = np.arange(tokens) % 3 == 0

        def step(plan):
            features = engine.look(values)
            return engine.step(pixels, values, prompt, proprio, plan, features=features)

        # numbers that never come: finite ones, and no token that is guessed
        engine._batch(1).out.host['out'][:] = 1
        step(full_plan(tokens, 'first_step'))
        first = dict(copies.found)
        copies.found.clear()
        with counts:
            result = step(StepPlan(active))
    assert first  # the instruction is copied once
    # a pass of parallel decoding copies tokens up and what is said down
    passes = result.passes
    assert copies.found == {'cpu to cuda': 2 + passes, 'cuda to cpu': 1 + passes}
    assert counts.outside == 0, counts.names
    assert not counts.waits
    assert counts.inside > 500
    assert set(engine.recorder.names) >= {'look', 'head'}


@pytest.mark.parametrize('name', ['openvla-oft-7b', 'openvla-7b', 'pi05'])
def test_steps_of_three_sessions_copy_and_launch_as_those_of_one(name, no_clock, monkeypatch):
    config, prompt = SHAPES[name], [1, *range(100, 135)]
    pictures = np.zeros((config.cameras, 224, 224, 3), dtype=np.uint8)
    proprio = np.zeros(config.proprio_dim, np.float32) if config.proprio_dim else None
    images = shape_images(config)
    pixels = values = images.see(pictures)
    noise = None
    assert config.flow or len(images.levels) == 6  # made here, see above
    if config.flow:
        values = images.normalize(pixels, pictures).numpy()
        noise = torch.zeros(config.chunk, config.flow.action_size)
    counts, copies = Counts(), Copies()
    with fake_gpu(), copies:
        model = fake_model(config)
        if noise is not None:
            monkeypatch.setattr(model.action_head, 'noise', lambda seed, step: noise)
        rooms, recorder = Rooms(3), Rehearsal(counts)
        engines = [
            RecordedEngine(
                model, recorder=recorder, images=images, rooms=rooms, place=rooms.take()
            )
            for _ in range(3)
        ]
        tokens = engines[0].layout.visual_tokens

        def step(engine, plan):
            features = yield from engine.looks(values)
            given = pixels, values, prompt, proprio, plan
            return (yield from engine.steps(*given, features=features))

        engines[0]._batch(3).out.host['out'][:] = 1
        together([step(engine, full_plan(tokens, 'first_step')) for engine in engines])
        copies.found.clear()
        with counts:
            plan = StepPlan(np.arange(tokens) % 3 == 0)
            results = together([step(engine, plan) for engine in engines])
    passes = results[0].passes
    assert copies.found == {'cpu to cuda': 2 + passes, 'cuda to cpu': 1 + passes}
    assert counts.outside == 0, counts.names
    assert not counts.waits
